# Two stages: the compiler that gssapi needs stays behind, the wheel and its libraries go on.
# The image writes nothing: run it with --read-only --cap-drop=ALL --security-opt=no-new-privileges.
FROM python:3.13-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libkrb5-dev
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY exporter exporter
RUN python -m venv /opt/exporter && /opt/exporter/bin/pip install --no-cache-dir '.[kerberos,demo]'

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="dhcp-failover-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Windows DHCP failover, agentless over WinRM" \
      org.opencontainers.image.licenses="Apache-2.0"
# libgssapi-krb5-2: Kerberos at run time. Its configuration comes from outside: mount /etc/krb5.conf.
RUN apt-get update && apt-get install -y --no-install-recommends libgssapi-krb5-2 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/exporter /opt/exporter
ENV PATH=/opt/exporter/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 KRB5CCNAME=MEMORY:
USER 65532:65532
EXPOSE 9647
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9647/-/healthy', timeout=4)"]
ENTRYPOINT ["dhcp-failover-exporter"]
CMD ["--config.file=/etc/dhcp-failover-exporter/config.yml"]
