-- The structured form of an address, beside the text that version 1 keeps. Every column is nullable and
-- has no default, so this is a change of the catalog only: no row is rewritten, no reader waits.
ALTER TABLE public.customers
    ADD COLUMN street_address text,
    ADD COLUMN city text,
    ADD COLUMN state varchar(2),
    ADD COLUMN zip_code varchar(10);
