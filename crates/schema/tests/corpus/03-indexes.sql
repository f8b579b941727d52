--= expand | additive | SHARE on public.customers | builds an index | MIGR103!
CREATE INDEX customers_name ON customers (name);

--= expand | additive | SHARE on public.customers | builds an index | MIGR103! MIGR124!
CREATE INDEX ON customers (name);

--= expand | additive | SHARE on public.customers | builds an index | MIGR103! MIGR119!
CREATE INDEX IF NOT EXISTS customers_name ON customers (name);

--= expand | incompatible | SHARE on public.customers | builds an index | MIGR103! MIGR107 MIGR111!
CREATE UNIQUE INDEX customers_name ON customers (name);

--= expand | additive | SHARE on public.customers | builds an index | MIGR103!
CREATE INDEX customers_recent ON customers (created_at DESC) WHERE address IS NOT NULL;

--= expand | additive | SHARE on public.customers | builds an index | MIGR103!
CREATE INDEX customers_lower ON customers USING btree (lower(email)) INCLUDE (name);

--= expand | additive | SHARE UPDATE EXCLUSIVE on public.customers | builds an index |
CREATE INDEX CONCURRENTLY customers_name ON customers (name);

--= expand | incompatible | SHARE UPDATE EXCLUSIVE on public.customers | builds an index | MIGR107 MIGR111!
CREATE UNIQUE INDEX CONCURRENTLY customers_email_once ON customers (email);

--= expand | additive | SHARE UPDATE EXCLUSIVE on public.customers | builds an index | MIGR119!
CREATE INDEX CONCURRENTLY IF NOT EXISTS customers_name ON customers (name);

--= expand | additive | SHARE UPDATE EXCLUSIVE on public.customers | builds an index | MIGR124!
CREATE INDEX CONCURRENTLY ON customers (name);

--= expand | additive | ACCESS EXCLUSIVE on public.customers | builds an index | MIGR105! MIGR120!
--@ not live: PostgreSQL refuses it in a transaction
ALTER TABLE customers ADD COLUMN nickname text;
CREATE INDEX CONCURRENTLY customers_nickname ON customers (nickname);

--= expand | additive | SHARE on public.regions | builds an index | MIGR103~
-- tidegate: allow MIGR103 one row for each region
CREATE INDEX regions_name ON regions (name);

--= expand | additive | - | catalog only |
CREATE TABLE carts (id bigint PRIMARY KEY, customer_id bigint);
CREATE INDEX carts_customer ON carts (customer_id);

--= expand | destructive | ACCESS EXCLUSIVE on the table of index public.customers_email | catalog only | MIGR115!
DROP INDEX customers_email;

--= expand | destructive | SHARE UPDATE EXCLUSIVE on the table of index public.customers_email | catalog only | MIGR115! MIGR121!
--@ not live: cannot run in a transaction, and could not be proven done
DROP INDEX CONCURRENTLY customers_email;

--= expand | destructive | ACCESS EXCLUSIVE on the table of index public.customers_email | catalog only | MIGR115! MIGR119!
DROP INDEX IF EXISTS customers_email;

--= expand | incompatible | SHARE on public.customers | builds an index | MIGR103!
REINDEX TABLE customers;

--= expand | incompatible | SHARE on the table of index public.customers_email | builds an index | MIGR103!
REINDEX INDEX customers_email;

--= expand | incompatible | SHARE UPDATE EXCLUSIVE on public.customers | builds an index | MIGR121!
--@ not live: cannot run in a transaction
REINDEX TABLE CONCURRENTLY customers;

--= expand | incompatible | SHARE on tables that it does not name | builds an index | MIGR121!
--@ not live: cannot run in a transaction
REINDEX (VERBOSE) DATABASE shop;

--= expand | incompatible | - | catalog only | MIGR108!
ALTER INDEX customers_email RENAME TO customers_by_email;

--= expand | additive | - | catalog only |
ALTER INDEX customers_email SET (fillfactor = 70);

--= expand | incompatible | ACCESS EXCLUSIVE on public.orders | rewrites the table | MIGR101!
CLUSTER orders USING orders_pkey;

--= expand | destructive | - | catalog only | MIGR115!
--# Nobody else knows an index of a table that the file makes.
CREATE TABLE carts (id bigint PRIMARY KEY, customer_id bigint);
CREATE INDEX carts_customer ON carts (customer_id);
DROP INDEX carts_customer;

--= expand | destructive | ACCESS EXCLUSIVE on public.customers | builds an index | MIGR103! MIGR115!
CREATE INDEX customers_name ON customers (name);
DROP INDEX customers_name;

--= expand | incompatible | SHARE on public.regions | builds an index | MIGR004! MIGR103~
--# What adds nothing has no place in an expand file, allowed or not.
-- tidegate: allow MIGR103 one row for each region
REINDEX TABLE regions;
