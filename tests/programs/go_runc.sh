# A Go program: goroutines, its own threads and signals, big reservations.
runc --version | head -1 | cut -d' ' -f1-2
runc spec -b /tmp && head -3 /tmp/config.json
for i in 1 2 3 4 5; do runc --version > /dev/null || echo "failed $?"; done
runc nosuch > /dev/null 2>&1; echo "status $?"
runc --help | grep -c '^ *[a-z]'
for i in $(seq 10); do runc --version > /dev/null & done; wait; echo done
