using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Media;

/// <summary>Stores and fetches ciphertext in Blossom servers (BUD-01, BUD-02, BUD-11). What comes back is checked against its hash. Thread-safe.</summary>
public sealed class BlossomClient : IDisposable
{
    /// <summary>Largest blob taken, in bytes: the largest file MDK sends and the tag of its AEAD.</summary>
    public const long MaxBlobBytes = (100L * 1024 * 1024) + 16;

    private static readonly TimeSpan TokenLifetime = TimeSpan.FromMinutes(5);

    private readonly HttpClient _http;
    private readonly TimeProvider _time;

    /// <summary>Over HTTP; redirects are not followed, so that a member's URL cannot point into the client's own network by a detour.</summary>
    public BlossomClient(TimeProvider time, HttpMessageHandler? handler = null)
    {
        _time = time;
        _http = new HttpClient(handler ?? new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false, ConnectTimeout = TimeSpan.FromSeconds(10) })
        {
            Timeout = TimeSpan.FromMinutes(5),
        };
    }

    /// <summary>Uploads a blob; the URL to put into a message.</summary>
    /// <param name="server">The server's base URL.</param>
    /// <param name="blob">The ciphertext.</param>
    /// <param name="uploader">Signs the upload; only it can delete the blob. Made for this one blob when null.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="ClientException">The server refused, or stored something else.</exception>
    public async Task<Uri> UploadAsync(Uri server, ReadOnlyMemory<byte> blob, SecretKey? uploader = null, CancellationToken cancellationToken = default)
    {
        using var oneTime = uploader is null ? SecretKey.Generate() : null;
        var hash = new Bytes32(SHA256.HashData(blob.Span));
        using var request = new HttpRequestMessage(HttpMethod.Put, new Uri(server, "/upload"));
        request.Headers.TryAddWithoutValidation("Authorization", Token(uploader ?? oneTime!, BlossomVerb.Upload, hash, server));
        request.Headers.TryAddWithoutValidation("X-SHA-256", hash.ToString());
        request.Content = new ReadOnlyMemoryContent(blob);
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        using var response = await SendAsync(request, HttpCompletionOption.ResponseContentRead, cancellationToken);
        await ThrowIfRefusedAsync(response, "upload", cancellationToken);
        string descriptor = await response.Content.ReadAsStringAsync(cancellationToken);
        try
        {
            using var json = System.Text.Json.JsonDocument.Parse(descriptor);
            if (json.RootElement.GetProperty("sha256").GetString() == hash.ToString()
                && Uri.TryCreate(json.RootElement.GetProperty("url").GetString(), UriKind.Absolute, out var url)
                && url.AbsolutePath.Contains(hash.ToString(), StringComparison.Ordinal))
            {
                return url;
            }
        }
        catch (Exception exception) when (exception is System.Text.Json.JsonException or KeyNotFoundException or InvalidOperationException)
        {
            // Said below.
        }

        throw new ClientException($"{server.Host} answered the upload with something else than the blob's descriptor");
    }

    /// <summary>Downloads a blob and checks its hash.</summary>
    /// <param name="url">Where it lies.</param>
    /// <param name="hash">Its SHA-256.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="ClientException">It is not there, too large, or another blob.</exception>
    public async Task<byte[]> DownloadAsync(Uri url, Bytes32 hash, CancellationToken cancellationToken = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, url);
        using var response = await SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        await ThrowIfRefusedAsync(response, "download", cancellationToken);
        if (response.Content.Headers.ContentLength > MaxBlobBytes)
        {
            throw new ClientException("the blob is larger than any that is taken");
        }

        using var buffer = new MemoryStream((int)(response.Content.Headers.ContentLength ?? 0));
        await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
        byte[] part = new byte[64 * 1024];
        int read;
        while ((read = await body.ReadAsync(part, cancellationToken)) > 0)
        {
            if (buffer.Length + read > MaxBlobBytes)
            {
                throw new ClientException("the blob is larger than any that is taken");
            }

            buffer.Write(part, 0, read);
        }

        byte[] blob = buffer.ToArray();
        return new Bytes32(SHA256.HashData(blob)) == hash ? blob : throw new ClientException("the server gave another blob than the one asked for");
    }

    /// <summary>Deletes what the key uploaded; false when the server does not have it.</summary>
    public async Task<bool> DeleteAsync(Uri server, Bytes32 hash, SecretKey uploader, CancellationToken cancellationToken = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Delete, new Uri(server, $"/{hash}"));
        request.Headers.TryAddWithoutValidation("Authorization", Token(uploader, BlossomVerb.Delete, hash, server));
        using var response = await SendAsync(request, HttpCompletionOption.ResponseContentRead, cancellationToken);
        if (response.StatusCode == HttpStatusCode.NotFound)
        {
            return false;
        }

        await ThrowIfRefusedAsync(response, "deletion", cancellationToken);
        return true;
    }

    /// <summary>True for a URL another may send this client to: https and no address inside a private network, or one of the account's own servers.</summary>
    public static bool MayFetch(Uri url, IEnumerable<string> ownServers)
    {
        if (!HostName.TryFrom(url, out var host))
        {
            return false; // asking such a URL for its host in ASCII throws, and so would sending to it
        }

        if (ownServers.Any(own => Uri.TryCreate(own, UriKind.Absolute, out var server) && server.Authority == url.Authority && server.Scheme == url.Scheme))
        {
            return true;
        }

        return url.Scheme == Uri.UriSchemeHttps && url.UserInfo.Length == 0 && !host.IsLoopback && !(host.Address is { } address && IsPrivate(address));
    }

    /// <summary>Closes connections.</summary>
    public void Dispose() => _http.Dispose();

    private static bool IsPrivate(IPAddress address)
    {
        address = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        byte[] bytes = address.GetAddressBytes();
        return IPAddress.IsLoopback(address) || address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any)
            || (address.AddressFamily == AddressFamily.InterNetwork
                ? bytes[0] == 10 || (bytes[0] == 172 && bytes[1] is >= 16 and < 32) || (bytes[0] == 192 && bytes[1] == 168)
                    || (bytes[0] == 169 && bytes[1] == 254) || (bytes[0] == 100 && bytes[1] is >= 64 and < 128)
                : address.IsIPv6LinkLocal || address.IsIPv6UniqueLocal || address.IsIPv6SiteLocal);
    }

    private string Token(SecretKey key, BlossomVerb verb, Bytes32 hash, Uri server) =>
        BlossomAuth.CreateHeader(key, verb, [hash], server.Host, _time.GetUtcNow(), TokenLifetime);

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, HttpCompletionOption completion, CancellationToken cancellationToken)
    {
        try
        {
            return await _http.SendAsync(request, completion, cancellationToken);
        }
        catch (Exception exception)
            when (exception is HttpRequestException or IOException or TaskCanceledException && !cancellationToken.IsCancellationRequested)
        {
            throw new ClientException($"{request.RequestUri?.Host} does not answer", exception);
        }
    }

    private static async Task ThrowIfRefusedAsync(HttpResponseMessage response, string what, CancellationToken cancellationToken)
    {
        if (response.IsSuccessStatusCode)
        {
            return;
        }

        string reason = response.Headers.TryGetValues("X-Reason", out var reasons)
            ? string.Join(' ', reasons)
            : await response.Content.ReadAsStringAsync(cancellationToken);
        throw new ClientException(
            string.Create(CultureInfo.InvariantCulture, $"{what} refused with {(int)response.StatusCode}: {reason[..Math.Min(reason.Length, 200)]}"));
    }
}
