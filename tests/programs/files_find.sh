# The whole root: every name, and the sum of a large tree.
find / -xdev \( -path /proc -o -path /dev -o -path /sys \) -prune -o -print | sort | sha256sum
find /usr -xdev -type f -size +100k -printf '%s %p\n' | sort -n | tail -3
tar c -C / usr/lib 2>/dev/null | sha256sum
cp -a /etc /tmp/etc && diff -r --no-dereference /etc /tmp/etc && echo same
du -s --apparent-size /usr/share | wc -l
chmod -R g-w /tmp/etc && rm -rf /tmp/etc && ls /tmp | wc -l
