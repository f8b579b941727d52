-- The point of no return: the text form goes, in one transaction with all that kept it in step. No IF EXISTS: a
-- database that is not in the expected state must refuse.
ALTER TABLE public.customers DROP COLUMN address;
