-- The shop's database as version 1 made it: an address is one text.
CREATE TABLE public.customers (
    id bigserial PRIMARY KEY,
    name text NOT NULL,
    email text,
    address text,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Has a column of the same name that has nothing to do with customers, and is kept after contract.
CREATE TABLE public.suppliers (
    id bigserial PRIMARY KEY,
    name text NOT NULL,
    address text,
    created_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO public.suppliers (name, address) VALUES
    ('Harbour Paper', '1 Quay Rd, Portland, ME, 04101'),
    ('North Mill', '77 Mill Ln, Duluth, MN, 55802'),
    ('Old Town Inks', NULL);
