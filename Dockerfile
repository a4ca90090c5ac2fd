# One image for every role: `all`, `relay`, `blossom`, `notify`, and the operator's commands.
# The bases are arguments so that a mirror or a pinned digest can stand in their place.
ARG SDK_IMAGE=mcr.microsoft.com/dotnet/sdk:10.0
ARG LIBRARIES_IMAGE=mcr.microsoft.com/dotnet/aspnet:10.0
ARG RUNTIME_IMAGE=mcr.microsoft.com/dotnet/aspnet:10.0-noble-chiseled

FROM ${SDK_IMAGE} AS build
# amd64 or arm64, given by BuildKit.
ARG TARGETARCH=amd64
# Machine code made ahead: about half of the start-up time for a few more megabytes.
ARG READY_TO_RUN=true
ENV DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
WORKDIR /source
# Restore first, in exactly the versions of the lock files: sources change more often than packages. Each project's folder is named like its file.
COPY global.json Directory.Build.props Directory.Build.targets Directory.Packages.props .editorconfig ./
COPY src/Directory.Build.props src/
COPY src/*/*.csproj src/*/packages.*.lock.json ./projects/
RUN for project in projects/*.csproj; do \
      name=$(basename "$project" .csproj) && mkdir -p "src/$name" && mv "$project" "projects/packages.$name.lock.json" "src/$name/" || exit 1; \
    done
RUN --mount=type=cache,target=/root/.nuget/packages,sharing=locked \
    MARMOT_LOCKED=true dotnet restore src/AllInOne -p:RuntimeIdentifier=linux-$(echo "$TARGETARCH" | sed 's/amd64/x64/') -p:PublishReadyToRun=${READY_TO_RUN}
COPY src/ src/
COPY LICENSE THIRD-PARTY-NOTICES.txt ./
RUN --mount=type=cache,target=/root/.nuget/packages,sharing=locked \
    dotnet publish src/AllInOne --no-restore -c Release -r linux-$(echo "$TARGETARCH" | sed 's/amd64/x64/') --self-contained false -o /app \
      -p:PublishReadyToRun=${READY_TO_RUN} -p:UseAppHost=false -p:GenerateDocumentationFile=false -p:DebugType=none -p:RunAnalyzers=false \
 && cp LICENSE THIRD-PARTY-NOTICES.txt /app/ \
 && mkdir -p /state/data

# LMDB alone comes from the distribution; libsodium and libsecp256k1 are in /app, from their packages.
FROM ${LIBRARIES_IMAGE} AS libraries
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends liblmdb0 \
 && mkdir -p /native \
 && cp --parents -L /usr/lib/*/liblmdb.so.0 /native/

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="marmot-server" \
      org.opencontainers.image.description="Relay, Blossom and push server for Marmot encrypted groups" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
WORKDIR /app
COPY --from=libraries /native/ /
COPY --from=build /app/ /app/
# 1654 is the user of the .NET images; a number, so that runAsNonRoot can be checked.
COPY --from=build --chown=1654:1654 /state/data /data
# No diagnostics pipe: it would write to /tmp. The heap is three quarters of the container's memory limit by .NET's own rule.
ENV DOTNET_gcServer=0 \
    DOTNET_EnableDiagnostics=0 \
    Storage__DataDirectory=/data
USER 1654
VOLUME /data
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --start-interval=1s CMD ["dotnet", "/app/marmot-server.dll", "healthcheck"]
ENTRYPOINT ["dotnet", "/app/marmot-server.dll"]
CMD ["all"]
