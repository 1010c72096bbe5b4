# perl: fork, socket pairs, pipes, signals, files.
perl -e 'use Socket; use IO::Handle; socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die; $_->autoflush for $a, $b;
if (my $p = fork) { close $b; print $a "ping $_\n" for 1..3; shutdown $a, 1; print <$a>; waitpid $p, 0; print "status ", $? >> 8, "\n" }
else { close $a; while (<$b>) { s/ping/pong/; print $b $_ } exit 4 }'
perl -e 'my @k; for my $i (1..20) { my $p = fork; exit $i unless $p; push @k, $p } my $s = 0; for (@k) { waitpid $_, 0; $s += $? >> 8 } print "sum $s\n"'
perl -e '$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5 }; print $@'
perl -e '$SIG{CHLD} = sub { $n++ while waitpid(-1, 1) > 0 }; for (1..5) { exit 0 unless fork } select undef, undef, undef, 0.1 while $n < 5; print "reaped $n\n"'
perl -e 'open my $f, "-|", "seq 1000" or die; my $s; $s += $_ while <$f>; close $f; print "$s $?\n"; print `echo back; exit 2`; print $? >> 8, "\n"'
perl -MFile::Find -e 'find(sub { $n++ if -f }, "/usr/share/perl"); print $n > 10 ? "found\n" : "few\n"'
perl -e 'open my $f, "+>", "/tmp/p"; print $f "x" x 100000; seek $f, 50000, 0; read $f, my $b, 10; print "$b ", -s "/tmp/p", "\n"; flock $f, 2; print "locked\n"; truncate $f, 5; print -s $f, "\n"'
perl -e 'my %h; $h{$_ % 1000} .= $_ for 1..200000; print length join "", values %h; print "\n"'
perl -MSocket -e 'pipe R, W; if (!fork) { close R; syswrite W, "z" x 200000; exit } close W; my $t = 0; while (my $n = sysread R, my $b, 65536) { $t += $n } wait; print "$t\n"'
perl -e 'kill 15, $$; sleep 5'; echo "status $?"
