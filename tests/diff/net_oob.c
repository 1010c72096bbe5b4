// Urgent data over TCP: MSG_OOB, SO_OOBINLINE, SIOCATMARK, SIGURG, POLLPRI.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <unistd.h>

static volatile int urgent, io;
static void on_urg(int s) { (void)s; urgent++; }
static void on_io(int s) { (void)s; io++; }
static const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

static int a, b;
static void pair(void)
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    bind(l, (void *)&at, n);
    listen(l, 1);
    getsockname(l, (void *)&at, &n);
    a = socket(AF_INET, SOCK_STREAM, 0);
    connect(a, (void *)&at, n);
    b = accept(l, 0, 0);
    close(l);
    urgent = io = 0;
}

static void done(void) { close(a), close(b); }

// Data of a loopback arrives at once, but not within the call that sends it everywhere.
static void settle(void) { usleep(20000); }

static void look(const char *what)
{
    int mark = -1, in = -1;
    struct pollfd p = {b, POLLIN | POLLPRI | POLLRDBAND, 0};
    settle();
    ioctl(b, SIOCATMARK, &mark);
    ioctl(b, SIOCINQ, &in);
    poll(&p, 1, 0);
    fd_set r, x;
    FD_ZERO(&r);
    FD_ZERO(&x);
    FD_SET(b, &r);
    FD_SET(b, &x);
    struct timeval now = {0, 0};
    select(b + 1, &r, 0, &x, &now);
    printf("%s: mark %d queued %d poll %x select %d %d urgent %d\n", what, mark, in, p.revents, !!FD_ISSET(b, &r),
           !!FD_ISSET(b, &x), urgent);
}

static void take(const char *what, int flags, size_t room)
{
    char buf[64];
    memset(buf, 0, sizeof buf);
    long n = recv(b, buf, room, flags | MSG_DONTWAIT);
    printf("%s: %s %ld [%s]\n", what, e(n), n, buf);
}

int main(void)
{
    alarm(20);
    signal(SIGURG, on_urg), signal(SIGIO, on_io);
    pair();
    printf("owner %s\n", e(fcntl(b, F_SETOWN, getpid())));
    take("none", MSG_OOB, 8);
    look("at first");
    send(a, "abc", 3, 0);
    printf("send %s\n", e(send(a, "dX", 2, MSG_OOB)));
    send(a, "ef", 2, 0);
    look("sent");
    take("peek", MSG_OOB | MSG_PEEK, 8);
    take("before the mark", 0, 64);
    look("at the mark");
    take("urgent", MSG_OOB, 8);
    take("urgent again", MSG_OOB, 8);
    look("taken");
    take("after", 0, 64);
    look("all read");
    take("nothing", 0, 64);
    done();

    puts("never taken");
    pair();
    send(a, "12", 2, 0), send(a, "Y", 1, MSG_OOB), send(a, "34", 2, 0);
    look("sent");
    take("first", 0, 64);
    take("second", 0, 64);
    take("late", MSG_OOB, 8);
    look("end");
    done();

    puts("alone");
    pair();
    send(a, "Z", 1, MSG_OOB);
    look("sent");
    take("plain", 0, 8);
    take("urgent, no room", MSG_OOB, 0);
    take("urgent", MSG_OOB, 8);
    look("taken");
    done();

    puts("inline");
    pair();
    int on = 1;
    setsockopt(b, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    send(a, "12", 2, 0), send(a, "Y", 1, MSG_OOB), send(a, "34", 2, 0);
    look("sent");
    take("urgent", MSG_OOB, 8);
    take("first", 0, 64);
    look("at the mark");
    take("second", 0, 64);
    look("end");
    done();

    puts("twice");
    pair();
    send(a, "1", 1, 0), send(a, "A", 1, MSG_OOB), send(a, "2", 1, 0), send(a, "B", 1, MSG_OOB);
    look("sent");
    take("urgent", MSG_OOB, 8);
    take("first", 0, 64);
    take("second", 0, 64);
    look("end");
    done();

    puts("small reads");
    pair();
    send(a, "abcd", 4, 0), send(a, "U", 1, MSG_OOB), send(a, "ef", 2, 0);
    look("sent");
    take("one", 0, 1), take("three", 0, 3), take("peek past", MSG_PEEK, 1), take("one", 0, 1), take("rest", 0, 9);
    done();

    puts("epoll and signals");
    pair();
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLPRI};
    epoll_ctl(ep, EPOLL_CTL_ADD, b, &ev);
    fcntl(b, F_SETOWN, getpid());
    send(a, "x", 1, 0);
    printf("plain data: %d urgent %d\n", epoll_wait(ep, &ev, 1, 50), urgent);
    send(a, "U", 1, MSG_OOB);
    int n = epoll_wait(ep, &ev, 1, 1000);
    printf("urgent data: %d %x urgent %d\n", n, ev.events, urgent);
    fcntl(b, F_SETFL, O_ASYNC);
    send(a, "V", 1, MSG_OOB);
    settle();
    printf("with O_ASYNC: urgent %d, SIGIO came %d\n", urgent, io > 0);
    fcntl(b, F_SETOWN, 0);
    send(a, "W", 1, MSG_OOB);
    settle();
    printf("nobody: urgent %d\n", urgent);
    shutdown(a, SHUT_WR);
    take("left", 0, 64);
    take("end", 0, 64);
    done();

    puts("errors");
    int s = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0);
    printf("not connected: send %s", e(send(s, "x", 1, MSG_OOB | MSG_NOSIGNAL)));
    printf(" recv %s\n", e(recv(s, &n, 1, MSG_OOB | MSG_DONTWAIT)));
    printf("datagram: recv %s\n", e(recv(u, &n, 1, MSG_OOB | MSG_DONTWAIT)));
    return 0;
}
