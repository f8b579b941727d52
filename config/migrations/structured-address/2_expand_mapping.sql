-- How the two forms of an address map to each other. Nothing here ever raises an error: what has no
-- counterpart in the other form maps to NULL.

-- Up: 'street, city, state, zip' to its four parts, or NULL if the text has not exactly four parts, if one
-- of them is empty, or if one would be cut off by its column. All or nothing: half an address is none.
CREATE FUNCTION public.customers_address_up(address text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    parts text[] := string_to_array(address, ',');
BEGIN
    IF cardinality(parts) IS DISTINCT FROM 4 THEN
        RETURN NULL;
    END IF;
    FOR i IN 1..4 LOOP
        parts[i] := btrim(parts[i], E' \t\r\n');
        IF parts[i] = '' THEN
            RETURN NULL;
        END IF;
    END LOOP;
    IF length(parts[3]) > 2 OR length(parts[4]) > 10 THEN
        RETURN NULL;
    END IF;
    RETURN parts;
END
$$;

-- Down: the four columns to the text, or NULL if one of them is missing.
CREATE FUNCTION public.customers_address_down(street_address text, city text, state text, zip_code text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT street_address || ', ' || city || ', ' || state || ', ' || zip_code
$$;

-- The four columns as one value that compares with what up returns: NULL if all four are NULL.
CREATE FUNCTION public.customers_address_parts(street_address text, city text, state text, zip_code text)
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT nullif(ARRAY[street_address, city, state, zip_code], ARRAY[NULL, NULL, NULL, NULL]::text[])
$$;

-- A row is in sync if up(old) is the new form, or down(new) is the old form. Text that cannot be mapped
-- beside four NULLs is in sync by the first half: it is counted as unmapped, not as disagreeing.
CREATE FUNCTION public.customers_address_in_sync(
    address text, street_address text, city text, state text, zip_code text
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT public.customers_address_up(address)
               IS NOT DISTINCT FROM public.customers_address_parts(street_address, city, state, zip_code)
        OR public.customers_address_down(street_address, city, state, zip_code) IS NOT DISTINCT FROM address
$$;
