--= contract | destructive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR126
ALTER TABLE customers DROP COLUMN address;

--= contract | destructive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR126
ALTER TABLE customers DROP COLUMN address, DROP COLUMN phone;

--= contract | destructive | ACCESS EXCLUSIVE on public.customers | catalog only |
DROP TRIGGER customers_touch ON customers;
DROP FUNCTION touch();

--= contract | destructive | ACCESS EXCLUSIVE on public.order_items; ACCESS EXCLUSIVE on tables that it does not name | catalog only |
DROP TABLE order_items;

--= contract | destructive | ACCESS EXCLUSIVE on the table of index public.customers_email | catalog only |
DROP INDEX customers_email;

--= contract | incompatible | ACCESS EXCLUSIVE on public.orders; ACCESS EXCLUSIVE on tables that it does not name | catalog only |
ALTER TABLE orders DROP CONSTRAINT orders_customer;

--= contract | destructive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR119! MIGR126
ALTER TABLE customers DROP COLUMN IF EXISTS address;

--= contract | destructive | ACCESS EXCLUSIVE on public.customers; ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR116! MIGR126
ALTER TABLE customers DROP COLUMN id CASCADE;

--= contract | destructive | ACCESS EXCLUSIVE on public.customers; ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR116!
DROP TABLE customers CASCADE;

--= contract | destructive | SHARE UPDATE EXCLUSIVE on the table of index public.customers_email | catalog only | MIGR121!
--@ not live: cannot run in a transaction
DROP INDEX CONCURRENTLY customers_email;

--= contract | destructive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR122! MIGR126
--@ not live: leaves the transaction
ALTER TABLE customers DROP COLUMN address;
COMMIT;

--= contract | incompatible | - | catalog only | MIGR118!
DO $$ BEGIN DROP TABLE orders; END $$;
