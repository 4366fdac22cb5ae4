-- No statement asks for the changes of one resource; each write paid for it.
DROP INDEX change_resource;
