-- Two-way sync: whichever form a statement writes, the other one follows in the same row.

-- One row for every write that gave both forms and they disagreed; the new form won. Its count is the
-- number of such writes that were committed, and the key says where to look.
CREATE TABLE public.customers_address_conflict (
    customer_id bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now()
);

-- Runs as its owner, so that a role which may write customers needs no right on the table above or on the
-- mapping. The fixed search path is what makes that safe.
CREATE FUNCTION public.customers_address_sync() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parts text[] := public.customers_address_parts(NEW.street_address, NEW.city, NEW.state, NEW.zip_code);
    up text[] := public.customers_address_up(NEW.address);
    down text := public.customers_address_down(NEW.street_address, NEW.city, NEW.state, NEW.zip_code);
    wrote_old boolean;
    wrote_new boolean;
BEGIN
    -- A row that is in sync is left as it is, so a backfill never changes the old text.
    IF up IS NOT DISTINCT FROM parts OR down IS NOT DISTINCT FROM NEW.address THEN
        RETURN NEW;
    END IF;

    -- An INSERT cannot be asked which columns it named: a form that is not NULL counts as written.
    IF TG_OP = 'INSERT' THEN
        wrote_old := NEW.address IS NOT NULL;
        wrote_new := parts IS NOT NULL;
    ELSE
        wrote_old := NEW.address IS DISTINCT FROM OLD.address;
        wrote_new := parts IS DISTINCT FROM public.customers_address_parts(
            OLD.street_address, OLD.city, OLD.state, OLD.zip_code);
        -- A row that the backfill has not reached yet, and a statement that is about something else.
        IF NOT wrote_old AND NOT wrote_new THEN
            wrote_old := parts IS NULL;
        END IF;
    END IF;

    IF wrote_old AND NOT wrote_new THEN
        NEW.street_address := up[1];
        NEW.city := up[2];
        NEW.state := up[3];
        NEW.zip_code := up[4];
        RETURN NEW;
    END IF;
    IF wrote_old THEN
        INSERT INTO public.customers_address_conflict (customer_id) VALUES (NEW.id);
    END IF;
    NEW.address := down;
    RETURN NEW;
END
$$;

CREATE TRIGGER customers_address_sync
    BEFORE INSERT OR UPDATE ON public.customers
    FOR EACH ROW EXECUTE FUNCTION public.customers_address_sync();
