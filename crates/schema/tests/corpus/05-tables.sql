--= expand | additive | - | catalog only |
CREATE TABLE carts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now());

--= expand | additive | SHARE ROW EXCLUSIVE on public.customers | catalog only |
CREATE TABLE carts (id bigserial PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers (id));

--= expand | additive | SHARE ROW EXCLUSIVE on public.customers; SHARE ROW EXCLUSIVE on public.products | catalog only |
CREATE TABLE carts (
    id bigint PRIMARY KEY,
    customer_id bigint,
    product_id bigint,
    FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE,
    CONSTRAINT carts_product FOREIGN KEY (product_id) REFERENCES products
);

--= expand | additive | - | catalog only | MIGR119!
CREATE TABLE IF NOT EXISTS carts (id bigint PRIMARY KEY);

--= expand | additive | - | catalog only | MIGR004!
CREATE TEMPORARY TABLE scratch (id bigint);

--= expand | additive | - | catalog only |
CREATE UNLOGGED TABLE cache (key text PRIMARY KEY, value text);

--= expand | additive | - | catalog only |
CREATE TABLE customers_copy (LIKE customers INCLUDING ALL);

--= expand | additive | ACCESS SHARE on public.customers | changes rows | MIGR117!
CREATE TABLE customers_copy AS SELECT * FROM customers;

--= expand | additive | ACCESS SHARE on public.customers | changes rows | MIGR117!
SELECT * INTO customers_copy FROM customers;

--= expand | additive | ACCESS EXCLUSIVE on public.events | catalog only |
CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');

--= expand | data-dependent | - | catalog only |
--# Everything about a table of the change's own is free: nobody knows it yet.
CREATE TABLE carts (id bigint, customer_id bigint);
ALTER TABLE carts ADD PRIMARY KEY (id);
ALTER TABLE carts ADD COLUMN note text NOT NULL;
ALTER TABLE carts ALTER COLUMN customer_id SET NOT NULL;
CREATE UNIQUE INDEX carts_customer ON carts (customer_id);
ALTER TABLE carts ADD CONSTRAINT note_there CHECK (note <> '');

--= expand | additive | SHARE ROW EXCLUSIVE on public.customers | catalog only |
--# A foreign key from a new table locks the old one.
CREATE TABLE carts (id bigint, customer_id bigint);
ALTER TABLE carts ADD CONSTRAINT carts_customer FOREIGN KEY (customer_id) REFERENCES customers;

--= expand | additive | - | catalog only |
--# Rows of a new table are part of making it.
CREATE TABLE currencies (code text PRIMARY KEY, digits integer);
INSERT INTO currencies (code, digits) VALUES ('EUR', 2), ('JPY', 0);

--= expand | additive | ACCESS SHARE on public.customers | reads the table |
--# Filled from a table in use: that one is read, without stopping anybody.
CREATE TABLE cities (name text);
INSERT INTO cities SELECT DISTINCT address FROM customers;

--= expand | additive | ACCESS EXCLUSIVE on public.customers; ACCESS EXCLUSIVE on public.orders | catalog only | MIGR106
--# Two tables in one transaction.
ALTER TABLE customers ADD COLUMN a text;
ALTER TABLE orders ADD COLUMN b text;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR108!
ALTER TABLE customers RENAME TO clients;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR108!
ALTER TABLE customers RENAME COLUMN address TO full_address;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR108!
ALTER TABLE customers RENAME phone TO telephone;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR108!
ALTER TABLE customers SET SCHEMA billing;

--= expand | incompatible | ACCESS EXCLUSIVE on public.regions | rewrites the table | MIGR101!
ALTER TABLE regions SET UNLOGGED;

--= expand | incompatible | ACCESS EXCLUSIVE on public.regions | rewrites the table | MIGR101!
ALTER TABLE regions SET ACCESS METHOD heap;

--= expand | data-dependent | SHARE UPDATE EXCLUSIVE on public.events; ACCESS EXCLUSIVE on public.events_old | reads the table | MIGR102!
ALTER TABLE events ATTACH PARTITION events_old FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');

--= expand | destructive | ACCESS EXCLUSIVE on public.events; ACCESS EXCLUSIVE on public.events_2025 | catalog only | MIGR115!
ALTER TABLE events DETACH PARTITION events_2025;

--= expand | destructive | SHARE UPDATE EXCLUSIVE on public.events; ACCESS EXCLUSIVE on public.events_2025 | catalog only | MIGR115! MIGR121!
--@ not live: cannot run in a transaction
ALTER TABLE events DETACH PARTITION events_2025 CONCURRENTLY;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR004!
--@ not live: the tables do not fit
ALTER TABLE customers INHERIT regions;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR004!
ALTER TABLE customers REPLICA IDENTITY FULL;

--= expand | additive | SHARE UPDATE EXCLUSIVE on public.customers | catalog only |
COMMENT ON TABLE customers IS 'people';

--= expand | additive | SHARE UPDATE EXCLUSIVE on public.customers | catalog only |
COMMENT ON COLUMN public.customers.address IS 'as version 1 writes it';

--= expand | incompatible | ACCESS EXCLUSIVE on public.regions | rewrites the table | MIGR004! MIGR101~
-- tidegate: allow MIGR101 one row for each region
ALTER TABLE regions SET UNLOGGED;

--= expand | destructive | SHARE UPDATE EXCLUSIVE on public.events; ACCESS EXCLUSIVE on public.events_2025; ACCESS EXCLUSIVE on public.regions | catalog only | MIGR106 MIGR115! MIGR120! MIGR121!
--@ not live: cannot run in a transaction
ALTER TABLE regions ADD COLUMN size integer;
ALTER TABLE events DETACH PARTITION events_2025 CONCURRENTLY;

--= expand | additive | - | catalog only |
COMMENT ON TYPE public.order_status IS 'where it stands';
