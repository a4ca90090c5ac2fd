# One image for every role: `all`, `relay`, `blossom`, `notify`, and the operator's commands.
# The bases are arguments so that a mirror or a pinned digest can stand in their place.
ARG SDK_IMAGE=mcr.microsoft.com/dotnet/sdk:10.0
ARG LIBRARIES_IMAGE=mcr.microsoft.com/dotnet/aspnet:10.0
ARG RUNTIME_IMAGE=mcr.microsoft.com/dotnet/aspnet:10.0-noble-chiseled

FROM ${SDK_IMAGE} AS build
WORKDIR /source
# Restore first: sources change more often than packages.
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig ./
COPY src/Protocol/Protocol.csproj src/Protocol/
COPY src/Hosting/Hosting.csproj src/Hosting/
COPY src/Relay/Relay.csproj src/Relay/
COPY src/Blossom/Blossom.csproj src/Blossom/
COPY src/NotifyServer/NotifyServer.csproj src/NotifyServer/
COPY src/AllInOne/AllInOne.csproj src/AllInOne/
RUN dotnet restore src/AllInOne
COPY src/ src/
RUN dotnet publish src/AllInOne --no-restore -c Release -o /app -p:UseAppHost=false -p:GenerateDocumentationFile=false
RUN mkdir -p /state/data

FROM ${LIBRARIES_IMAGE} AS libraries
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends libsecp256k1-1 libsodium23 liblmdb0 \
 && mkdir -p /native \
 && cp --parents -L /usr/lib/*/libsecp256k1.so.1 /usr/lib/*/libsodium.so.23 /usr/lib/*/liblmdb.so.0 /native/

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="marmot-server" \
      org.opencontainers.image.description="Relay, Blossom and push server for Marmot encrypted groups" \
      org.opencontainers.image.licenses="MIT"
WORKDIR /app
COPY --from=libraries /native/ /
COPY --from=build /app/ /app/
# 1654 is the user of the .NET images; a number, so that runAsNonRoot can be checked.
COPY --from=build --chown=1654:1654 /state/data /data
ENV DOTNET_gcServer=0 \
    DOTNET_EnableDiagnostics=0 \
    Storage__DataDirectory=/data
USER 1654
VOLUME /data
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=4s --start-period=10s CMD ["dotnet", "/app/marmot-server.dll", "healthcheck"]
ENTRYPOINT ["dotnet", "/app/marmot-server.dll"]
CMD ["all"]
