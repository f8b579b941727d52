-- tidegate: key=id batch=1000
-- How the two forms of an address map to each other. From this file Tidegate generates the trigger that keeps them in
-- step whichever one a statement writes, the backfill of older rows, the check that counts what disagrees, and what
-- contract drops again; `tidegate lint --sql` shows it. What a mapping cannot take, because an expression fails or a
-- column is too short, has no counterpart: it is NULL in the other form, and counted as unmapped.

-- The new form from the old one: 'street, city, state, zip', none of them empty. All or nothing: half an address is none.
SELECT
    btrim(split_part(address, ',', 1), E' \t\r\n') AS street_address,
    btrim(split_part(address, ',', 2), E' \t\r\n') AS city,
    btrim(split_part(address, ',', 3), E' \t\r\n') AS state,
    btrim(split_part(address, ',', 4), E' \t\r\n') AS zip_code
FROM public.customers
WHERE cardinality(string_to_array(address, ',')) = 4
  AND address !~ '(^|,)[ \t\r\n]*(,|$)';

-- The old form from the new one; NULL if a part is missing.
SELECT street_address || ', ' || city || ', ' || state || ', ' || zip_code AS address
FROM public.customers;
