# sort of a 100 MB file, with temporary files; xargs -P4.
seq 1 1000000 | awk '{printf "%08d %064d %020d\n", ($1 * 7919) % 1000003, $1, $1}' > /tmp/big
ls -l /tmp/big | awk '{print $5}'
sort -S 20M -T /tmp /tmp/big | sha256sum
sort -n -r /tmp/big | head -2
tail -c 1000 /tmp/big | sha256sum
split -n 4 /tmp/big /tmp/part. && cat /tmp/part.* | cmp - /tmp/big && echo rejoined
gzip -1 < /tmp/big | gunzip | cmp - /tmp/big && echo unzipped
seq 100 | xargs -P4 -n1 sh -c 'echo $(($0 * $0))' | sort -n | tail -3
find /usr/bin -type f | sort | xargs -P4 -n20 sha256sum | sort | sha256sum
