# git: init, add, commit, log, branch, merge, clone, gc, fsck.
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git config --global init.defaultBranch main; git config --global advice.detachedHead false
git init -q /tmp/r && cd /tmp/r || exit 1
for i in $(seq 50); do mkdir -p "d$((i % 5))"; seq "$i" $((i * 20)) > "d$((i % 5))/f$i"; done
git add . && git commit -qm first && git rev-parse HEAD
echo more >> d1/f1; git commit -qam second; git log --oneline | cat
git checkout -qb side HEAD~1; echo side > side; git add side; git commit -qm side
git checkout -q main; git merge -q -m merged side; git log --graph --oneline | wc -l
git diff HEAD~1 --stat | tail -1
git clone -q /tmp/r /tmp/c && cd /tmp/c && git log --oneline | head -1 && git status --short | wc -l
git clone -q --bare file:///tmp/r /tmp/b.git 2>&1 | head -3; git -C /tmp/b.git rev-parse HEAD
echo pushed > p; git add p; git commit -qm pushed; git push -q /tmp/b.git main; git -C /tmp/b.git log -1 --format=%s
cd /tmp/r; git gc -q 2>/dev/null; git fsck 2>&1 | tail -1; git stash list | wc -l
git grep -c 100 | wc -l; git blame d1/f1 | tail -1 | cut -c1-8
git archive HEAD | sha256sum
