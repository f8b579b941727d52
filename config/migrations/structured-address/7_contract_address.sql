-- The point of no return: the text form, and all that kept it in step, in one transaction. No IF EXISTS:
-- a database that is not in the expected state must refuse.
DROP TRIGGER customers_address_sync ON public.customers;
DROP FUNCTION public.customers_address_sync();
DROP TABLE public.customers_address_conflict;
DROP FUNCTION public.customers_address_in_sync(text, text, text, text, text);
DROP FUNCTION public.customers_address_parts(text, text, text, text);
DROP FUNCTION public.customers_address_down(text, text, text, text);
DROP FUNCTION public.customers_address_up(text);
ALTER TABLE public.customers DROP COLUMN address;
