# The resource's image. Every base is a build argument: a site without Docker Hub names its own, which need what is
# said beside each.
ARG base=debian:bookworm-slim
# Node.js 24 or newer as /usr/local/bin/node, and npm.
ARG node=node:24-bookworm-slim
# Go; a newer toolchain that go.mod asks for is fetched by itself.
ARG golang=golang:1.26-bookworm
# An image with buildctl, buildkitd, runc and runsc in /usr/local/bin saves building them.
ARG tools=build-tools

FROM ${golang} AS build-tools
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev libseccomp-dev
WORKDIR /src
COPY tools/build-tools.sh tools/go.mod tools/go.sum tools/
COPY tools/edit tools/edit/
COPY tools/runsc tools/runsc/
RUN sh tools/build-tools.sh /usr/local/bin buildctl buildkitd runc runsc

FROM ${tools} AS tools

FROM ${node} AS node

# In Node's program, the names of functions are for debuggers, and a quarter is data on languages.
FROM ${base} AS reduced
RUN apt-get update && apt-get install -y --no-install-recommends binutils icu-devtools
COPY --from=node /usr/local/bin/node /usr/local/bin/
COPY tools/small-icu.ts tools/
RUN strip -o /node /usr/local/bin/node && node tools/small-icu.ts /node

FROM node AS bundle
WORKDIR /src
COPY .npmrc package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tools/build.ts tools/cached-code.ts tools/rehearsal.ts tools/snapshot.ts tools/
COPY src src/
# The start-up snapshot works only with the Node that makes it.
COPY --from=reduced /node /usr/local/bin/node
RUN npm run build

# The final image takes these files in one layer, so what is removed here isn't in it.
FROM ${base} AS system
# busybox copies cache mounts; git and ssh fetch contexts from repositories; amazon-ecr-credential-helper logs in to ECR; igzip, xz and zstd unpack layers and archives.
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      amazon-ecr-credential-helper busybox-static ca-certificates git isal libstdc++6 openssh-client util-linux xz-utils zstd && \
    # What Debian has everywhere and nothing here uses: programs for disks, and time zones.
    DEBIAN_FRONTEND=noninteractive apt-get purge -y --allow-remove-essential \
      $(dpkg-query -f '${Package}\n' -W e2fsprogs 'libext2fs*' 'libss2*' logsave tzdata) && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/apt /var/log/dpkg.log && \
    # The modules of perl, which only git commands use that BuildKit never runs. perl itself stays: it is of the package
    # perl-base.
    packages=$(dpkg-query -f '${db:Status-Abbrev}${Package}\n' -W perl 'libperl5*' 'perl-modules-*' | sed -n 's/^ii *//p') && \
    for file in $(dpkg -L $packages | grep -v ^/usr/share/doc); do [ -d "$file" ] || rm -f "$file"; done && \
    # git's programs for servers, for sending, for its own scripts' messages, and for packs behind other addresses.
    cd /usr/lib/git-core && \
    ln -sf ../../bin/git git && \
    rm git-daemon git-http-backend git-http-fetch git-http-push git-imap-send git-sh-i18n--envsubst git-shell scalar && \
    rm -r /usr/bin/git-shell /usr/bin/scalar /usr/share/gitweb && \
    # ssh's programs for smart cards, security keys and the authentication of hosts, and a second zstd.
    rm /usr/lib/openssh/ssh-* /usr/bin/pzstd && \
    # Code pages of mainframes. The other encodings are there for files that git attributes name one for.
    rm -f /usr/lib/*/gconv/IBM*.so /usr/lib/*/gconv/EBCDIC*.so && \
    # Everything here is run by root, or by a user who shall not become it.
    find / -xdev -type f -perm /6000 -exec chmod a-s {} +

FROM scratch
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=system / /
COPY --from=reduced /node /usr/local/bin/node
COPY --from=tools /usr/local/bin/buildctl /usr/local/bin/buildkitd /usr/local/bin/runc /usr/local/bin/runsc /usr/local/bin/
COPY assets /opt/resource/
COPY schemas /opt/resource/schemas/
COPY --from=bundle /src/dist /opt/resource/dist/
# As a task's image it offers `build`, and to people `validate`. The first runs, a check and what the others refuse, show
# that all of them start. That of `build` fills Node's compile cache for itself and `validate`. The others start from the
# snapshot, which is compiled already.
RUN ln -s /opt/resource/build /opt/resource/validate /usr/local/bin/ && \
    echo '{"source":{"directory":"/tmp"},"version":null}' | /opt/resource/check && \
    for command in in out build; do \
      echo '{}' | UNPACK_ROOTFS=perhaps /opt/resource/$command /tmp 2>/dev/null; \
      [ $? = 1 ] || exit 1; \
    done
