/* System V shared memory, semaphores and message queues. */
#include "fault.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

union semun { int val; struct semid_ds *buf; unsigned short *array; };
struct mb { long type; char text[64]; };

static long op(int id, int num, int o, int flg)
{
	struct sembuf s = { num, o, flg };
	return semop(id, &s, 1);
}

int main(void)
{
	/* shared memory */
	struct shmid_ds sd;
	int id = shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0600);
	S(id);
	R(shmget(IPC_PRIVATE, 0, 0600));
	R(shmget(0x777, 100, 0600));
	int k = shmget(0x777, 100, IPC_CREAT | 0644);
	S(k);
	R(shmget(0x777, 100, IPC_CREAT | IPC_EXCL | 0600));
	R(shmget(0x777, 200, 0600));
	T(shmget(0x777, 0, 0) == k);
	char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
	T(a != (void *)-1 && b != (void *)-1 && a != b);
	strcpy(a, "shared");
	P("%s", b);
	fault_init();
	volatile char *vb = b;
	FAULT(vb[0] = 1, vb);
	CHILD({ strcpy(a, "by child"); });
	P("%s", b);
	R(shmctl(id, IPC_STAT, &sd));
	P("size %zu attached %lu mode %o", sd.shm_segsz, (unsigned long)sd.shm_nattch, sd.shm_perm.mode);
	T(sd.shm_cpid == getpid());
	R(shmdt(b));
	R(shmdt(b));
	R(shmdt(a + 1));
	errno = 0;
	T(shmat(99999, NULL, 0) == (void *)-1);
	P("%s", ename(errno));
	errno = 0;
	T(shmat(id, (void *)0x300000000123, 0) == (void *)-1);
	P("%s", ename(errno));
	T(shmat(id, (void *)0x300000000123, SHM_RND) == (void *)0x300000000000);
	T(shmat(id, (void *)0x300000000000, 0) == (void *)-1);
	T(shmat(id, (void *)0x300000000000, SHM_REMAP) == (void *)0x300000000000);
	R(shmctl(id, IPC_RMID, NULL));
	P("still there: %s", a);
	R(shmctl(id, IPC_STAT, &sd));
	P("mode %o", sd.shm_perm.mode);
	R(shmdt(a));
	R(shmdt((void *)0x300000000000));
	R(shmctl(id, IPC_STAT, &sd));
	R(shmctl(k, 999, &sd));
	R(shmctl(k, IPC_STAT, BAD));
	CHILD({ setuid(1000); R(shmctl(k, IPC_RMID, NULL)); R(shmat(k, NULL, 0) == (void *)-1); R(shmat(k, NULL, SHM_RDONLY) != (void *)-1); });
	R(shmctl(k, IPC_RMID, NULL));

	/* semaphores */
	union semun u;
	unsigned short arr[3] = { 1, 2, 3 };
	int s = semget(IPC_PRIVATE, 3, 0600);
	S(s);
	R(semget(IPC_PRIVATE, 0, 0600));
	R(semget(IPC_PRIVATE, 100000, 0600));
	u.array = arr;
	R(semctl(s, 0, SETALL, u));
	R(semctl(s, 1, GETVAL));
	u.val = 5;
	R(semctl(s, 0, SETVAL, u));
	u.val = 40000;
	R(semctl(s, 0, SETVAL, u));
	R(semctl(s, 7, GETVAL));
	memset(arr, 0, sizeof arr);
	u.array = arr;
	R(semctl(s, 0, GETALL, u));
	P("%d %d %d", arr[0], arr[1], arr[2]);
	R(op(s, 0, -5, 0));
	R(op(s, 0, -1, IPC_NOWAIT));
	R(op(s, 0, 0, IPC_NOWAIT));
	R(op(s, 1, 0, IPC_NOWAIT));
	R(op(s, 9, 1, 0));
	R(op(s, 0, 32767, 0));
	R(op(s, 0, 1, 0));
	R(op(s, 0, -32767, 0));
	struct sembuf two[2] = { { 0, 1, 0 }, { 1, -9, IPC_NOWAIT } };
	R(semop(s, two, 2));
	R(semctl(s, 0, GETVAL));
	R(semop(s, two, 0));
	R(semop(s, two, 501));
	R(semop(s, BAD, 1));
	R(semop(-1, two, 1));
	struct timespec ts = { 0, 30000000 };
	two[0].sem_op = -1;
	R(semtimedop(s, two, 1, &ts));
	pid_t w = fork();
	if (!w)
		_exit(op(s, 0, -2, 0) == 0 ? 0 : 1);
	settle(w, w);
	R(semctl(s, 0, GETNCNT));
	R(op(s, 0, 1, 0));
	R(semctl(s, 0, GETNCNT));
	R(op(s, 0, 1, 0));
	reap(__LINE__, "waiter", w);
	R(semctl(s, 0, GETVAL));
	R(semctl(s, 0, GETPID) == w);
	w = fork();
	if (!w)
		_exit(op(s, 1, 0, 0) == 0 ? 0 : 1);
	settle(w, w);
	R(semctl(s, 1, GETZCNT));
	R(op(s, 1, -2, 0));
	reap(__LINE__, "zero waiter", w);
	CHILD(R(op(s, 2, -3, SEM_UNDO)));
	R(semctl(s, 2, GETVAL));
	w = fork();
	if (!w) {
		errno = 0;
		op(s, 0, -2, 0);
		_exit(errno == EIDRM ? 0 : 1);
	}
	settle(w, w);
	R(semctl(s, 0, IPC_RMID));
	reap(__LINE__, "waiter of a removed one", w);
	R(op(s, 0, 1, 0));

	/* messages */
	struct mb m = { 3, "three" }, r;
	struct msqid_ds qd;
	int q = msgget(IPC_PRIVATE, 0600);
	S(q);
	R(msgsnd(q, &m, 6, 0));
	m = (struct mb){ 1, "one" };
	R(msgsnd(q, &m, 4, 0));
	m = (struct mb){ 2, "two" };
	R(msgsnd(q, &m, 4, 0));
	R(msgctl(q, IPC_STAT, &qd));
	P("messages %lu bytes max %lu", (unsigned long)qd.msg_qnum, (unsigned long)qd.msg_qbytes);
	R(msgrcv(q, &r, 64, 0, 040000));
	R(msgrcv(q, &r, 64, 0, 040000 | IPC_NOWAIT));
	R(msgrcv(q, &r, 64, 9, 040000 | IPC_NOWAIT));
	R(msgrcv(q, &r, 64, 2, 0));
	P("%ld %s", r.type, r.text);
	R(msgrcv(q, &r, 64, -3, 0));
	P("%ld %s", r.type, r.text);
	R(msgrcv(q, &r, 3, 0, 0));
	R(msgrcv(q, &r, 3, 0, MSG_NOERROR));
	P("%ld %.3s", r.type, r.text);
	R(msgrcv(q, &r, 64, 0, IPC_NOWAIT));
	R(msgrcv(q, &r, -1, 0, IPC_NOWAIT));
	m.type = 0;
	R(msgsnd(q, &m, 4, 0));
	m.type = -1;
	R(msgsnd(q, &m, 4, 0));
	m.type = 1;
	R(msgsnd(q, &m, 0, 0));
	R(msgrcv(q, &r, 64, 0, 0));
	R(msgsnd(q, &m, 9000, 0));
	R(msgsnd(q, BAD, 4, 0));
	m.type = 5;
	R(msgsnd(q, &m, 4, 0));
	R(msgrcv(q, &r, 64, 5, MSG_EXCEPT | IPC_NOWAIT));
	R(msgrcv(q, BAD, 64, 0, IPC_NOWAIT));
	R(msgrcv(q, &r, 64, 0, IPC_NOWAIT));
	static struct { long t; char c[8192]; } big = { 1 };
	int n = 0;
	while (msgsnd(q, &big, 4000, IPC_NOWAIT) == 0)
		n++;
	P("until %s after %d", ename(errno), n);
	w = fork();
	if (!w)
		_exit(msgsnd(q, &big, 4000, 0) == 0 ? 0 : 1);
	settle(w, w);
	R(msgrcv(q, &big, 8192, 0, 0));
	reap(__LINE__, "sender", w);
	w = fork();
	if (!w) {
		errno = 0;
		msgrcv(q, &r, 64, 77, 0);
		_exit(errno == EIDRM ? 0 : 1);
	}
	settle(w, w);
	R(msgctl(q, IPC_RMID, NULL));
	reap(__LINE__, "receiver of a removed one", w);
	R(msgsnd(q, &m, 4, 0));
	R(msgctl(q, IPC_STAT, &qd));
	return 0;
}
