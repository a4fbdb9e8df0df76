/** Debian's image with its package lists, which take longer to fetch than a package. */
export const listedDockerfile = "FROM debian:bookworm-slim\nRUN apt-get update\n";

/**
 * A Dockerfile with what builds do to files and users, on an image by {@link listedDockerfile}: every step ends
 * with what it leaves being the same whenever and wherever it runs, but for times. It wants a secret `word` and an
 * ssh agent.
 */
export const featureDockerfile = (base: string) => `FROM ${base}
RUN apt-get install -y --no-install-recommends libcap2-bin && \\
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig /var/log/*
RUN useradd -m -u 4000 alice && rm -f /etc/*- /var/log/*
RUN su alice -c 'id -u > /home/alice/id' && setpriv --reuid 4000 --regid 4000 --clear-groups touch /tmp/by-setpriv
RUN cp /bin/cat /usr/local/bin/as-root && chmod 4755 /usr/local/bin/as-root && su alice -c '/usr/local/bin/as-root /etc/shadow' > /dev/null
RUN cp /bin/cat /usr/local/bin/capable && setcap cap_net_raw,cap_dac_read_search+ep /usr/local/bin/capable && getcap /usr/local/bin/capable > /capabilities
USER alice
WORKDIR /home/alice
RUN touch by-alice && ! touch /not-alices 2>/dev/null
USER root
RUN --mount=type=cache,target=/cache,uid=4000 echo kept > /cache/a && stat -c %u /cache > /of-cache
RUN --mount=type=secret,id=word sha256sum < /run/secrets/word > /of-secret
RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && echo yes > /of-ssh
RUN --mount=type=tmpfs,target=/t stat -f -c %T /t > /of-tmpfs && touch /t/gone
RUN --mount=type=bind,target=/context,rw cp /context/file /of-bind && touch /context/gone
COPY --chown=3000000000:3000000001 --chmod=640 file /high
COPY --link file /linked/deep/file
RUN echo one > /first && ln /first /second && ln -s first /third && mkfifo -m 600 /pipe
RUN rm /etc/debian_version && rm -rf /opt && mkdir /opt && echo new > /opt/new && mv /srv /served
RUN mkdir -m 1777 /sticky && chgrp 4000 /sticky && chmod g+s /sticky && touch -d @0 /sticky/old
RUN rm -rf /var/cache/ldconfig
`;
