# Java: start, source launcher is not in a JRE, so classes come from the JRE itself.
java -version 2>&1 | head -1 | cut -d'"' -f1
java -Xshare:auto -XshowSettings:properties -version 2>&1 | grep -E 'os.name|java.vendor.url =|file.separator' | sed 's/^ *//'
java -Xmx64m --list-modules | cut -d@ -f1 | sort | head -5
java NoSuchClass > /dev/null 2>&1; echo "status $?"
java -Xmx100000g -version > /dev/null 2>&1; echo "status $?"
for gc in Serial Parallel G1; do java -XX:+Use${gc}GC -Xmx64m --list-modules | wc -l; done
java --dry-run -m java.base/sun.launcher.LauncherHelper > /dev/null 2>&1; echo "dry run ended"
