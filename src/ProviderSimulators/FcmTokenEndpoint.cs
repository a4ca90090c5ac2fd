using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Marmot.ProviderSimulators;

/// <summary>
/// Google's OAuth token endpoint for service accounts (RFC 7523): an RS256 assertion against a bearer token. Thread-safe.
/// </summary>
internal sealed class FcmTokenEndpoint(FcmSimulatorOptions options, RSA key, string keyId, string clientEmail, string tokenUri)
{
    private const string GrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    private const string Scope = "https://www.googleapis.com/auth/firebase.messaging";
    private const string WideScope = "https://www.googleapis.com/auth/cloud-platform";

    // The endpoint's real names. Google's .NET library always writes the first into aud, whatever token_uri the account file names.
    private static readonly string[] GoogleAudiences = [
        "https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token", "https://www.googleapis.com/oauth2/v4/token"
    ];

    private readonly Lock _gate = new();
    private readonly Dictionary<string, DateTimeOffset> _valid = [];
    private bool _accountDeleted;
    private int _issued;

    public int IssuedCount => Volatile.Read(ref _issued);

    public void RevokeAll()
    {
        lock (_gate) _valid.Clear();
    }

    public void DeleteAccount()
    {
        lock (_gate) _accountDeleted = true;
        RevokeAll();
    }

    public bool IsValid(string accessToken)
    {
        lock (_gate) return _valid.TryGetValue(accessToken, out var until) && options.Clock.GetUtcNow() < until;
    }

    /// <summary>Status and JSON body for a posted form.</summary>
    public (int Status, string Body) Exchange(IReadOnlyDictionary<string, string> form)
    {
        if (form.GetValueOrDefault("grant_type") != GrantType)
        {
            return Refuse("unsupported_grant_type", "Invalid grant_type: " + form.GetValueOrDefault("grant_type"));
        }

        if (form.GetValueOrDefault("assertion") is not { Length: > 0 } assertion) return Refuse("invalid_request", "Missing parameter: assertion");
        var parts = assertion.Split('.');
        if (parts.Length != 3) return Refuse("invalid_grant", "Bad Request");
        try
        {
            using var header = JsonDocument.Parse(Base64Url.DecodeFromChars(parts[0]));
            using var claims = JsonDocument.Parse(Base64Url.DecodeFromChars(parts[1]));
            return Judge(header.RootElement, claims.RootElement, Encoding.ASCII.GetBytes(parts[0] + "." + parts[1]), Base64Url.DecodeFromChars(parts[2]));
        }
        catch (Exception failure) when (failure is JsonException or FormatException or InvalidOperationException)
        {
            return Refuse("invalid_grant", "Bad Request");
        }
    }

    private (int Status, string Body) Judge(JsonElement header, JsonElement claims, byte[] signed, byte[] signature)
    {
        // 1. Who signed
        lock (_gate)
        {
            if (_accountDeleted || Text(claims, "iss") != clientEmail) return Refuse("invalid_grant", "Invalid grant: account not found");
        }
        if (Text(header, "alg") != "RS256" || (Text(header, "kid") is { } kid && kid != keyId)
            || !key.VerifyData(signed, signature, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1))
        {
            return Refuse("invalid_grant", "Invalid JWT Signature.");
        }

        // 2. For whom
        if (Text(claims, "aud") is not { } audience || (audience != tokenUri && !GoogleAudiences.Contains(audience)))
        {
            return Refuse("invalid_grant", "Failed audience check. The right audience is " + tokenUri);
        }

        // 3. When
        if (Number(claims, "iat") is not { } iat || Number(claims, "exp") is not { } exp)
        {
            return Refuse("invalid_grant", "Required parameter is missing: iat, exp");
        }

        var now = options.Clock.GetUtcNow().ToUnixTimeSeconds();
        if (iat > now + (long)options.ClockSkew.TotalSeconds || exp <= now || exp <= iat || exp - iat > (long)options.AssertionLifetime.TotalSeconds)
        {
            return Refuse("invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.");
        }
        // 4. For what
        var scopes = (Text(claims, "scope") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (scopes.Length == 0) return Refuse("invalid_scope", "Empty or missing scope not allowed.");
        if (!scopes.Contains(Scope) && !scopes.Contains(WideScope)) return Refuse("invalid_scope", "Invalid OAuth scope or ID token audience provided.");
        return Issue();
    }

    private (int Status, string Body) Issue()
    {
        var token = "ya29.sim." + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        lock (_gate) _valid[token] = options.Clock.GetUtcNow() + options.AccessTokenLifetime;
        Interlocked.Increment(ref _issued);
        return (200,
            JsonSerializer.Serialize(new { access_token = token, expires_in = (long)options.AccessTokenLifetime.TotalSeconds, token_type = "Bearer" }));
    }

    private static (int Status, string Body) Refuse(string error, string description) => (400, Error(error, description));

    public static string Error(string error, string description) => JsonSerializer.Serialize(new { error, error_description = description });

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static long? Number(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) ? number : null;
}
