-- Rows in which the two forms disagree. Text that cannot be mapped is not among them: it is in sync with
-- four NULLs, and the next file counts it.
SELECT count(*) AS disagreeing
FROM public.customers
WHERE NOT public.customers_address_in_sync(address, street_address, city, state, zip_code);
