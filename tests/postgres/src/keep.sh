# Waits until nobody holds a shared lock on $home/users any more, then kills whatever works below $home, and removes it. A process
# of its own, so that nothing outlives the test that started it, however that ends.
cd /
exec 9>>"$home/users" || exit 1
flock -x 9
while :; do
    left=$(find /proc -mindepth 2 -maxdepth 2 -name cwd \( -lname "$home" -o -lname "$home/*" \) 2>/dev/null | cut -d / -f 3)
    [ -n "$left" ] || break
    # shellcheck disable=SC2086
    kill -KILL $left 2>/dev/null
    sleep 0.1
done
rm -rf "$home"
