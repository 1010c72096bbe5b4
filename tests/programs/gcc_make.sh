# gcc -O2, and make -j4 of a program of a hundred files.
mkdir /tmp/p && cd /tmp/p || exit 1
{
    echo '#include <stdio.h>'
    for i in $(seq 100); do echo "int f$i(int);"; done
    echo 'int main(void) { long s = 0;'
    for i in $(seq 100); do echo "s += f$i($i);"; done
    echo 'printf("%ld\n", s); return 0; }'
} > main.c
for i in $(seq 100); do
    printf '#include <stdlib.h>\n#include <string.h>\nint f%d(int x) { int s = 0; for (int i = 0; i < x; i++) s += i * %d; return s + (int)strlen("file%d"); }\n' "$i" "$i" "$i" > "f$i.c"
done
{
    printf 'OBJS = main.o'; for i in $(seq 100); do printf ' f%d.o' "$i"; done; echo
    printf 'prog: $(OBJS)\n\tgcc -o $@ $(OBJS)\n%%.o: %%.c\n\t@gcc -O2 -c -o $@ $<\n'
} > Makefile
make -j4 prog | grep -c . ; ./prog
make prog; touch f7.c; make -s prog; ./prog
ls *.o | wc -l
cat > m.c <<'END'
#include <math.h>
#include <pthread.h>
#include <stdio.h>
static void *w(void *a) { double s = 0; for (int i = 0; i < 100000; i++) s += sin(i * *(double *)a); *(double *)a = s; return 0; }
int main(void) { pthread_t t[4]; double v[4] = {1, 2, 3, 4}; for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, w, &v[i]);
for (int i = 0; i < 4; i++) { pthread_join(t[i], 0); printf("%.6f\n", v[i]); } return 3; }
END
gcc -O2 -pthread -o m m.c -lm && ./m; echo "status $?"
echo 'int main(void) { return x; }' > bad.c; gcc bad.c 2>&1 | grep -c error
gcc -static -o ms m.c -lm -pthread && ./ms | tail -1
