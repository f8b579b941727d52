# Runs one PostgreSQL server for as long as its standard input stays open. The owner holds the other end: when it closes it,
# or dies in whatever way, the server is stopped and its folder removed.
# The server's log collector outlives the server by a moment and holds its output open: `cat` ends, and the server counts as
# exited, once its log is written to the end.
# Arguments: folder, folder of the binaries, superuser, then the server's own arguments.
folder=$1 binaries=$2 superuser=$3
shift 3
cd / || exit 1
{
    {
        [ -e "$folder/data/PG_VERSION" ] || "$binaries/initdb" -D "$folder/data" --username="$superuser" \
            --pwfile="$folder/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync --no-instructions
    } &&
        rm -f "$folder/password" &&
        "$binaries/postgres" -D "$folder/data" "$@" 2>&1 | cat
    echo $? >"$folder/exited"
} >>"$folder/log" 2>&1 </dev/null &
read -r _
mode=fast
until [ -e "$folder/exited" ] || [ ! -d "$folder" ]; do
    "$binaries/pg_ctl" stop -D "$folder/data" -m "$mode" -t 5 >/dev/null 2>&1 || sleep 0.1
    mode=immediate
done
rm -rf "$folder"
