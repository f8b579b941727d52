-- tidegate: key=id batch=1000
-- Fills the structured form of rows from before the trigger. The old text is only read, rows that are in
-- sync already are not touched, and a second run changes nothing.
UPDATE public.customers
SET street_address = (public.customers_address_up(address))[1],
    city = (public.customers_address_up(address))[2],
    state = (public.customers_address_up(address))[3],
    zip_code = (public.customers_address_up(address))[4]
WHERE id > $1
  AND id <= $2
  AND address IS NOT NULL
  AND NOT public.customers_address_in_sync(address, street_address, city, state, zip_code);
