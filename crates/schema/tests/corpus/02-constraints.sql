--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR111!
ALTER TABLE customers ADD CONSTRAINT name_there CHECK (name <> '') NOT VALID;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR102! MIGR111!
ALTER TABLE customers ADD CONSTRAINT name_there CHECK (name <> '');

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR111~
-- tidegate: allow MIGR111 every revision trims the name since 2024
ALTER TABLE customers ADD CONSTRAINT name_there CHECK (name <> '') NOT VALID;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR008! MIGR111!
--# A reason is part of allowing.
-- tidegate: allow MIGR111
ALTER TABLE customers ADD CONSTRAINT name_there CHECK (name <> '') NOT VALID;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR008! MIGR108!
--# What always refuses cannot be allowed.
-- tidegate: allow MIGR108 the old name is not used
ALTER TABLE customers RENAME COLUMN phone TO telephone;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR008!
--# Allowing what was not found would hide what comes later.
-- tidegate: allow MIGR102 small
ALTER TABLE customers ADD COLUMN nickname text;

--= expand | data-dependent | SHARE UPDATE EXCLUSIVE on public.customers | reads the table | MIGR107
ALTER TABLE customers VALIDATE CONSTRAINT credit_positive;

--= expand | data-dependent | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR105! MIGR107
--# Validated under the lock that adding it took.
ALTER TABLE customers ADD COLUMN zip text;
ALTER TABLE customers ADD CONSTRAINT zip_there CHECK (zip <> '') NOT VALID;
ALTER TABLE customers VALIDATE CONSTRAINT zip_there;

--= expand | data-dependent | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN zip text, ADD CONSTRAINT zip_there CHECK (length(zip) = 5) NOT VALID;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR111!
--# Rows of the serving revision have no zip.
ALTER TABLE customers ADD COLUMN zip text, ADD CONSTRAINT zip_there CHECK (zip IS NOT NULL) NOT VALID;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR111!
ALTER TABLE customers ADD COLUMN zip text, ADD CONSTRAINT zip_there CHECK (coalesce(zip, '') <> '') NOT VALID;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR111!
ALTER TABLE customers ADD COLUMN zip text, ADD CONSTRAINT zip_there CHECK (length(zip) = 5 AND name <> '') NOT VALID;

--= expand | incompatible | SHARE ROW EXCLUSIVE on public.customers; SHARE ROW EXCLUSIVE on public.orders | catalog only | MIGR111!
ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers (id) NOT VALID;

--= expand | incompatible | SHARE ROW EXCLUSIVE on public.customers; SHARE ROW EXCLUSIVE on public.orders | reads the table | MIGR102! MIGR111!
ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers (id);

--= expand | incompatible | SHARE ROW EXCLUSIVE on public.order_items; SHARE ROW EXCLUSIVE on public.orders | reads the table | MIGR102! MIGR111!
ALTER TABLE order_items ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE;

--= expand | data-dependent | SHARE UPDATE EXCLUSIVE on public.order_items | reads the table | MIGR107
ALTER TABLE order_items VALIDATE CONSTRAINT items_product;

--= expand | data-dependent | ACCESS EXCLUSIVE on public.orders; SHARE ROW EXCLUSIVE on public.regions | catalog only |
ALTER TABLE orders ADD COLUMN region_id integer, ADD CONSTRAINT fk FOREIGN KEY (region_id) REFERENCES regions NOT VALID;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | builds an index | MIGR104! MIGR111!
ALTER TABLE customers ADD CONSTRAINT email_once UNIQUE (email);

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | builds an index | MIGR104! MIGR111!
ALTER TABLE customers ADD UNIQUE (email, name);

--= expand | data-dependent | ACCESS EXCLUSIVE on public.products | catalog only |
ALTER TABLE products ADD CONSTRAINT sku_once UNIQUE USING INDEX products_sku_key;

--= expand | incompatible | ACCESS EXCLUSIVE on public.order_items | builds an index | MIGR104! MIGR111!
ALTER TABLE order_items ADD PRIMARY KEY (order_id, product_id);

--= expand | incompatible | ACCESS EXCLUSIVE on public.order_items | reads the table | MIGR102! MIGR111!
--# NOT NULL of its columns is read from the rows.
ALTER TABLE order_items ADD CONSTRAINT items_pk PRIMARY KEY USING INDEX order_items_key;

--= expand | incompatible | ACCESS EXCLUSIVE on public.regions | builds an index | MIGR104! MIGR111!
ALTER TABLE regions ADD CONSTRAINT names_apart EXCLUDE USING btree (name WITH =);

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR102! MIGR111!
ALTER TABLE customers ALTER COLUMN address SET NOT NULL;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR102! MIGR111!
ALTER TABLE customers ALTER COLUMN credit SET NOT NULL;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR127
ALTER TABLE customers ALTER address DROP NOT NULL;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR127
ALTER TABLE customers ALTER COLUMN name DROP NOT NULL;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR105! MIGR107 MIGR111!
--# PostgreSQL 12 takes the validated check for proof and reads nothing; validating is in the same transaction here.
ALTER TABLE customers ADD CONSTRAINT address_there CHECK (address IS NOT NULL) NOT VALID;
ALTER TABLE customers VALIDATE CONSTRAINT address_there;
ALTER TABLE customers ALTER COLUMN address SET NOT NULL;

--= expand | incompatible | ACCESS EXCLUSIVE on public.orders; ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR115!
ALTER TABLE orders DROP CONSTRAINT orders_customer;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers; ACCESS EXCLUSIVE on tables that it does not name | catalog only | MIGR115! MIGR119!
ALTER TABLE customers DROP CONSTRAINT IF EXISTS credit_positive;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR108!
ALTER TABLE customers RENAME CONSTRAINT credit_positive TO credit_not_negative;

--= expand | incompatible | ACCESS EXCLUSIVE on public.orders | catalog only | MIGR112!
ALTER TABLE orders ALTER CONSTRAINT orders_customer DEFERRABLE INITIALLY DEFERRED;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR102! MIGR111!
--@ not live: since PostgreSQL 18
ALTER TABLE customers ADD CONSTRAINT phone_there NOT NULL phone;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR111!
--@ not live: since PostgreSQL 18
ALTER TABLE customers ADD CONSTRAINT phone_there NOT NULL phone NOT VALID;

--= expand | additive | - | catalog only |
--@ not live: since PostgreSQL 18
CREATE TABLE carts (id bigint PRIMARY KEY, note text);
ALTER TABLE carts ADD CONSTRAINT note_there NOT NULL note;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR102! MIGR105! MIGR107 MIGR111!
--# A check of something else proves nothing.
ALTER TABLE customers ADD CONSTRAINT address_filled CHECK (address <> '') NOT VALID;
ALTER TABLE customers VALIDATE CONSTRAINT address_filled;
ALTER TABLE customers ALTER COLUMN address SET NOT NULL;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR102! MIGR111!
--# Nor does one of another column, or of another table.
CREATE TABLE carts (address text CONSTRAINT carts_address CHECK (address IS NOT NULL), phone text);
ALTER TABLE carts ADD CONSTRAINT address_known CHECK (address IS NOT NULL);
ALTER TABLE customers ALTER COLUMN address SET NOT NULL;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR102! MIGR105! MIGR107 MIGR111!
ALTER TABLE customers ADD CONSTRAINT credit_known CHECK (credit IS NOT NULL) NOT VALID;
ALTER TABLE customers VALIDATE CONSTRAINT credit_known;
ALTER TABLE customers ALTER COLUMN address SET NOT NULL;
