# The one image: the store, the operator and mainstayctl. `npm run image` prepares what is copied here and builds it; by hand:
#
#   npm run image -- --prepare-only && docker build -f Dockerfile -t mainstay dist/image/context
#
# The base needs a Node >= 20.19 for the same C library as the context was prepared for (--node says where it
# is) and nothing else: no shell, no package manager.
ARG BASE=docker.io/library/node:26-slim
FROM ${BASE}

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Mainstay" \
      org.opencontainers.image.description="A clustered key-value store that speaks the etcd v3 API, and its operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# mainstay, mainstay-operator, mainstayctl
COPY bin/ /usr/local/bin/
# The directory for data is anyone's: what is mounted there decides who may write, and the store keeps its own part to itself.
COPY var/ /var/
COPY app/ /opt/mainstay/
WORKDIR /opt/mainstay

# Any other uid works as well; nothing outside the data directory is ever written.
USER 10001:10001
EXPOSE 2379 2380
STOPSIGNAL SIGTERM
ENTRYPOINT ["mainstay"]
# Without arguments: one member for trying out. Arguments take the place of all of these.
CMD ["--data-dir=/var/lib/mainstay/data", "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://127.0.0.1:2379"]
