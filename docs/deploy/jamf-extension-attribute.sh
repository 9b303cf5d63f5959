#!/bin/sh
# Jamf Pro extension attribute (data type String): healthy, degraded, blind or not installed.
# Smart groups and compliance are built on it. Jamf runs it as root, as the agent wants to be asked.
tidemark=${TIDEMARK:-/Library/Tidemark/bin/tidemark}
if ! command -v "$tidemark" >/dev/null 2>&1; then
	echo "<result>not installed</result>"
	exit 0
fi
"$tidemark" status >/dev/null 2>&1
case $? in
0) result=healthy ;;
1) result=degraded ;;
2) result=blind ;;
*) result=unknown ;;
esac
echo "<result>$result</result>"
