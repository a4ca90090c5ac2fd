using System.Buffers;
using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Marmot.Hosting;
using Marmot.Hosting.Outgoing;

namespace Marmot.NotifyServer.Providers;

/// <summary>FCM's bearer tokens: a signed assertion for a token (RFC 7523), on a pace of our own.</summary>
/// <remarks>One request at a time, the old token served while a new one is fetched, a pause after a failure, a floor between tokens (a lifetime of one second
/// must not mean one request a push), answers read to 8 KiB. Written with the framework's RSA; docs/decisions/0002-packages-of-the-card.md says why.</remarks>
internal sealed class OAuthTokens : IDisposable
{
    private const string Scope = "https://www.googleapis.com/auth/firebase.messaging";
    private const string GrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    private static readonly TimeSpan MintFloor = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan TransientPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan PermanentPause = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan RefreshBefore = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan LongestLifetime = TimeSpan.FromHours(1);

    private readonly SemaphoreSlim _single = new(1, 1);
    private readonly ServiceAccount _account;
    private readonly HttpClient _client;
    private readonly TimeProvider _time;
    private volatile Token? _token;
    private PushVerdict _failure;
    private TimeSpan _pausedUntil;

    public OAuthTokens(ServiceAccount account, X509Certificate2Collection? roots, TimeProvider time)
    {
        _time = time;
        _account = account;
        _client = OutgoingHttp.CreateClient(TimeSpan.FromSeconds(10), ProviderHttp.CreateHandler(roots));
    }

    /// <summary>Tokens asked for since the start.</summary>
    public int Requested { get; private set; }

    /// <summary>A token, or the verdict that no push can pass now.</summary>
    public async ValueTask<(string? Token, PushVerdict Failure)> GetAsync(CancellationToken cancellationToken)
    {
        var now = _time.GetUptime();
        var token = _token;
        if (token is not null && now < token.RefreshAt)
        {
            return (token.Value, default);
        }

        // Near the end of lifetime one caller renews and the others keep the old token; without one all wait for the first.
        var usable = token is not null && now < token.ExpiresAt;
        if (!await _single.WaitAsync(usable ? TimeSpan.Zero : Timeout.InfiniteTimeSpan, cancellationToken))
        {
            return (token!.Value, default);
        }

        try
        {
            return await RenewAsync(cancellationToken);
        }
        finally
        {
            _single.Release();
        }
    }

    /// <summary>After 401: forgets the token if it is still the current one. Within the floor it stays, so that refused pushes cannot drive minting.</summary>
    /// <returns>True when a repeat will carry another token.</returns>
    public bool TryDiscard(string refused)
    {
        var token = _token;
        if (token is null || token.Value != refused)
        {
            return true;
        }

        if (_time.GetUptime() - token.Minted < MintFloor)
        {
            return false;
        }

        Interlocked.CompareExchange(ref _token, null, token);
        return true;
    }

    public void Dispose()
    {
        _client.Dispose();
        _single.Dispose();
        _account.PrivateKey.Dispose();
    }

    private async ValueTask<(string? Token, PushVerdict Failure)> RenewAsync(CancellationToken cancellationToken)
    {
        var now = _time.GetUptime();
        if (_token is { } current && now < current.RefreshAt)
        {
            return (current.Value, default); // renewed while we waited
        }

        var usable = _token is { } old && now < old.ExpiresAt ? old.Value : null;
        if (now < _pausedUntil)
        {
            return usable is null ? (null, _failure with { RetryAfter = _pausedUntil - now }) : (usable, default);
        }

        try
        {
            Requested++;
            using var request = new FormUrlEncodedContent(new Dictionary<string, string>
            {
                ["grant_type"] = GrantType,
                ["assertion"] = Assert(_time.GetUtcNow()),
            });
            using var response = await _client.PostAsync(_account.TokenUri, request, cancellationToken);
            var (buffer, length) = await ProviderHttp.ReadAnswerAsync(response, cancellationToken);
            try
            {
                return Take(response.StatusCode, buffer.AsSpan(0, length), ProviderHttp.RetryAfter(response.Headers, _time.GetUtcNow()),
                    _time.GetUptime(), usable);
            }
            finally
            {
                CryptographicOperations.ZeroMemory(buffer.AsSpan(0, length));
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return Fail(new PushVerdict(PushOutcome.Transient, PushReason.OAuthUnreachable), TransientPause, usable);
        }
    }

    private (string? Token, PushVerdict Failure) Take(HttpStatusCode status, ReadOnlySpan<byte> body, TimeSpan? retryAfter, TimeSpan now, string? usable)
    {
        var (value, expiresIn, error) = Read(body);
        if (status == HttpStatusCode.OK && value.Length > 0)
        {
            var lifetime = TimeSpan.FromSeconds(Math.Clamp(expiresIn, MintFloor.TotalSeconds, LongestLifetime.TotalSeconds));
            var margin = lifetime > RefreshBefore * 2 ? RefreshBefore : TimeSpan.Zero;
            _token = new Token(value, now, now + lifetime - margin, now + lifetime);
            return (value, default);
        }

        var credential = (int)status is not (400 or 401 or 403) ? PushReason.None : error switch
        {
            "invalid_grant" => PushReason.OAuthInvalidGrant,
            "invalid_client" => PushReason.OAuthInvalidClient,
            "unauthorized_client" => PushReason.OAuthUnauthorizedClient,
            "invalid_scope" => PushReason.OAuthInvalidScope,
            _ => PushReason.None,
        };
        return credential != PushReason.None
            ? Fail(new PushVerdict(PushOutcome.Credential, credential), PermanentPause, usable)
            : Fail(new PushVerdict(PushOutcome.Transient, status == HttpStatusCode.OK ? PushReason.OAuthEmpty : PushReason.OAuthRefused), retryAfter
                ?? TransientPause, usable);
    }

    private static (string Token, double ExpiresIn, string Error) Read(ReadOnlySpan<byte> body)
    {
        var (token, expiresIn, error) = ("", 0.0, "");
        try
        {
            var reader = new Utf8JsonReader(body);
            while (reader.Read())
            {
                if (reader.TokenType != JsonTokenType.PropertyName || reader.CurrentDepth != 1)
                {
                    continue;
                }

                if (reader.ValueTextEquals("access_token"u8) && reader.Read())
                {
                    token = reader.TokenType == JsonTokenType.String ? reader.GetString()! : "";
                }
                else if (reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals("expires_in"u8) && reader.Read())
                {
                    expiresIn = reader.TokenType == JsonTokenType.Number && reader.TryGetDouble(out var seconds) && double.IsFinite(seconds) ? seconds : 0;
                }
                else if (reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals("error"u8) && reader.Read())
                {
                    error = reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length <= 64 ? reader.GetString()! : "";
                }
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException) // the latter for half a surrogate pair
        {
            return ("", 0, ""); // cut or garbage: no token, nobody's fault for long
        }

        return (token, expiresIn, error);
    }

    // RFC 7523 as Google documents it: RS256, an hour at most, the audience is the URL posted to.
    private string Assert(DateTimeOffset now)
    {
        var issued = now.ToUnixTimeSeconds();
        var header = JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, string>
        {
            ["alg"] = "RS256",
            ["typ"] = "JWT",
            ["kid"] = _account.PrivateKeyId,
        });
        var claims = JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, object>
        {
            ["iss"] = _account.ClientEmail,
            ["scope"] = Scope,
            ["aud"] = _account.TokenUri.OriginalString,
            ["iat"] = issued,
            ["exp"] = issued + (long)LongestLifetime.TotalSeconds,
        });
        var signed = $"{Base64Url.EncodeToString(header)}.{Base64Url.EncodeToString(claims)}";
        var signature = _account.PrivateKey.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        return $"{signed}.{Base64Url.EncodeToString(signature)}";
    }

    private (string? Token, PushVerdict Failure) Fail(PushVerdict failure, TimeSpan pause, string? usable)
    {
        _failure = failure;
        _pausedUntil = _time.GetUptime() + pause;
        return usable is null ? (null, failure with { RetryAfter = pause }) : (usable, default);
    }

    // Moments as MonotonicTime.GetUptime counts.
    private sealed record Token(string Value, TimeSpan Minted, TimeSpan RefreshAt, TimeSpan ExpiresAt)
    {
        public override string ToString() => nameof(Token);
    }
}
