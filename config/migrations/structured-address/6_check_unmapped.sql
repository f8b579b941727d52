-- Rows whose text has no structured form. They are in sync, so they stop no traffic; but the text is their
-- only copy of the address, and contract destroys it. No row is in both counts: mappable text whose columns
-- are not filled yet disagrees.
SELECT count(*) AS unmapped
FROM public.customers
WHERE address IS NOT NULL
  AND public.customers_address_up(address) IS NULL
  AND public.customers_address_parts(street_address, city, state, zip_code) IS NULL;
