--= expand | destructive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR115! MIGR126
ALTER TABLE customers DROP COLUMN address;

--= expand | destructive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR115! MIGR126
ALTER TABLE customers DROP address;

--= expand | destructive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR115! MIGR119! MIGR126
--# Hides that the column is not where it should be: the wrong database, or dropped by somebody else.
ALTER TABLE customers DROP COLUMN IF EXISTS address;

--= expand | destructive | ACCESS EXCLUSIVE on public.customers; ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR115! MIGR116! MIGR126
ALTER TABLE customers DROP COLUMN address CASCADE;

--= expand | destructive | ACCESS EXCLUSIVE on public.order_items; ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR115!
DROP TABLE order_items;

--= expand | destructive | ACCESS EXCLUSIVE on public.order_items; ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR115! MIGR119!
DROP TABLE IF EXISTS order_items;

--= expand | destructive | ACCESS EXCLUSIVE on public.customers; ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR115! MIGR116!
DROP TABLE customers CASCADE;

--= expand | destructive | ACCESS EXCLUSIVE on public.customer_names | catalog only | MIGR115!
DROP VIEW customer_names;

--= expand | destructive | ACCESS EXCLUSIVE on public.totals | catalog only | MIGR115!
DROP MATERIALIZED VIEW totals;

--= expand | destructive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR115!
DROP TRIGGER customers_touch ON customers;

--= expand | destructive | - | catalog only | MIGR115!
DROP FUNCTION tidy();

--= expand | destructive | ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR115! MIGR116!
DROP TYPE order_status CASCADE;

--= expand | destructive | - | catalog only | MIGR115!
DROP SEQUENCE ticket;

--= expand | destructive | ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR115! MIGR116!
DROP SCHEMA billing CASCADE;

--= expand | destructive | - | catalog only | MIGR115!
DROP DOMAIN positive;

--= expand | destructive | ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR115!
--@ not live: no such role
DROP OWNED BY somebody;

--= expand | incompatible | - | catalog only | MIGR121!
--@ not live: another database
DROP DATABASE shop;
