using System.Buffers.Text;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;

namespace Marmot.ProviderSimulators.Tests;

/// <summary>A plain HTTP/2 client that trusts one simulator's CA, and the credentials a provider would make.</summary>
internal sealed class SimulatorClient : IDisposable
{
    private readonly SocketsHttpHandler _handler;

    public SimulatorClient(X509Certificate2 authority, bool manyConnections = false)
    {
        _handler = new SocketsHttpHandler
        {
            EnableMultipleHttp2Connections = manyConnections,
            SslOptions = new SslClientAuthenticationOptions
            {
                CertificateChainPolicy = new X509ChainPolicy
                {
                    TrustMode = X509ChainTrustMode.CustomRootTrust,
                    CustomTrustStore = { authority },
                    RevocationMode = X509RevocationMode.NoCheck,
                },
            },
        };
        Http = new HttpClient(_handler) { Timeout = TimeSpan.FromSeconds(20) };
    }

    public SocketsHttpHandler Handler => _handler;
    public HttpClient Http { get; }

    /// <summary>An APNs provider token.</summary>
    public static string ProviderToken(string privateKeyPem, string keyId, string teamId, DateTimeOffset issuedAt, string algorithm = "ES256")
    {
        using var key = ECDsa.Create();
        key.ImportFromPem(privateKeyPem);
        var signed = Encode(new { alg = algorithm, kid = keyId }) + "." + Encode(new { iss = teamId, iat = issuedAt.ToUnixTimeSeconds() });
        return signed + "." + Base64Url.EncodeToString(key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256));
    }

    /// <summary>A background push as Apple wants it; the caller changes what the test is about.</summary>
    public static HttpRequestMessage Push(Uri endpoint, string token, string? providerToken, string topic = "app.marmot",
        string body = """{"aps":{"content-available":1}}""")
    {
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(endpoint, "/3/device/" + token))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body)),
        };
        if (providerToken is not null) request.Headers.TryAddWithoutValidation("authorization", "bearer " + providerToken);
        request.Headers.Add("apns-topic", topic);
        request.Headers.Add("apns-push-type", "background");
        request.Headers.Add("apns-priority", "5");
        request.Headers.Add("apns-expiration", "0");
        return request;
    }

    /// <summary>A service account assertion (RFC 7523) from the file a simulator hands out.</summary>
    public static string Assertion(string serviceAccountJson, DateTimeOffset issuedAt, Func<string, object?, object?>? change = null, bool badSignature = false)
    {
        using var account = JsonDocument.Parse(serviceAccountJson);
        string Field(string name) => account.RootElement.GetProperty(name).GetString()!;
        using var key = RSA.Create();
        key.ImportFromPem(Field("private_key"));
        var claims = new Dictionary<string, object?>
        {
            ["iss"] = Field("client_email"),
            ["scope"] = "https://www.googleapis.com/auth/firebase.messaging",
            ["aud"] = Field("token_uri"),
            ["iat"] = issuedAt.ToUnixTimeSeconds(),
            ["exp"] = issuedAt.ToUnixTimeSeconds() + 3600,
        };
        if (change is not null) claims = claims.ToDictionary(claim => claim.Key, claim => change(claim.Key, claim.Value));
        var signed = Encode(new { alg = "RS256", typ = "JWT", kid = Field("private_key_id") }) + "." + Encode(claims);
        var signature = key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        if (badSignature) signature[0] ^= 1;
        return signed + "." + Base64Url.EncodeToString(signature);
    }

    public static async Task<JsonElement> JsonOf(HttpResponseMessage response)
    {
        using var document = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        return document.RootElement.Clone();
    }

    public static async Task<string?> ReasonOf(HttpResponseMessage response) => (await JsonOf(response)).GetProperty("reason").GetString();

    public void Dispose()
    {
        Http.Dispose();
        _handler.Dispose();
    }

    private static string Encode<T>(T value) => Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(value));
}
