# sqlite3 with WAL: several writers at once, checkpoints, integrity.
cd /tmp || exit 1
sqlite3 x.db 'pragma journal_mode=wal; create table t(a integer primary key, w int, b text);'
for w in 1 2 3 4; do
    for i in $(seq 25); do echo "begin immediate; insert into t(w, b) values ($w, hex(zeroblob($i))); commit;"; done | sqlite3 -cmd '.timeout 20000' x.db &
done
wait
sqlite3 x.db 'select w, count(*), sum(length(b)) from t group by w; pragma integrity_check; select count(*) from t;'
sqlite3 x.db "with recursive c(n) as (select 1 union all select n + 1 from c where n < 50000) insert into t(w, b) select 9, n || 'x' from c; select count(*), max(b) from t where w = 9;"
sqlite3 x.db 'create index i on t(b); select count(*) from t where b > "4"; pragma wal_checkpoint(truncate); vacuum; select count(*) > 100 from pragma_page_count;'
ls x.db
sqlite3 y.db 'pragma journal_mode=delete; create table z(q); begin; insert into z values (1),(2); rollback; select count(*) from z; insert into z values(3); select * from z;'
sqlite3 x.db 'select w, b from t order by w, b' | sha256sum; sqlite3 x.db .dump | wc -l
