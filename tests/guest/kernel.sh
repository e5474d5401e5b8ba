#!/bin/sh
# Unpacks Debian's kernel for virtual machines, which is not installed, into DIR. Prints the path of
# its image; or why there is none, and fails. Usage: kernel.sh DIR
set -u
dir=$1
find_image() {
	for image in "$dir"/boot/vmlinuz-*; do
		[ -f "$image" ] && echo "$image" && exit 0
	done
}
find_image
mkdir -p "$dir"
cd "$dir" || exit 1
package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
	sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -n 1)
[ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64"; exit 1; }
apt-get -qq -o Acquire::Retries=3 download "$package" >download.log 2>&1 || {
	echo "apt-get download $package: $(tail -n 1 download.log)"
	exit 1
}
mkdir -p boot
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x ./boot || { echo "$package cannot be unpacked"; exit 1; }
rm -f ./*.deb
find_image
echo "$package has no image"
exit 1
