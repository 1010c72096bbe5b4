/* recvtty --pid-file FILE --mode null SOCKET: takes the terminals that are sent to SOCKET, one
 * after the other, and reads them until they hang up. What runc's tests use of the program of
 * that name. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 16 };

/* The descriptor that comes on a connection; -1 when none does. */
static int receive(int connection)
{
	char name[256], space[CMSG_SPACE(sizeof(int))];
	struct iovec part = { name, sizeof name };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
	int fd = -1;
	if (recvmsg(connection, &message, 0) <= 0)
		return -1;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct pollfd fds[MOST];
	int count = 1;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--pid-file") && i + 1 < argc) {
			FILE *file = fopen(argv[++i], "w");
			if (!file || fprintf(file, "%d", getpid()) < 0 || fclose(file))
				return 1;
		} else if (!strcmp(argv[i], "--mode")) {
			i++;
		} else {
			strncpy(address.sun_path, argv[i], sizeof address.sun_path - 1);
		}
	}
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, MOST))
		return 1;
	fds[0] = (struct pollfd){ listener, POLLIN, 0 };
	while (poll(fds, count, -1) > 0) {
		char buffer[4096];
		for (int i = count - 1; i > 0; i--)
			if (fds[i].revents && read(fds[i].fd, buffer, sizeof buffer) <= 0) {
				close(fds[i].fd);
				fds[i] = fds[--count];
			}
		if (fds[0].revents && count < MOST) {
			int connection = accept(listener, NULL, NULL), tty = receive(connection);
			close(connection);
			if (tty >= 0)
				fds[count++] = (struct pollfd){ tty, POLLIN, 0 };
		}
	}
	return 0;
}
