using System.Security.Cryptography.X509Certificates;
using Google.Apis.Auth.OAuth2;
using Google.Apis.Auth.OAuth2.Responses;
using Google.Apis.Http;
using Google.Apis.Util;
using IHttpClientFactory = Google.Apis.Http.IHttpClientFactory;

namespace Marmot.NotifyServer.Providers;

/// <summary>FCM's bearer tokens, through Google.Apis.Auth (RFC 7523 with the service account's key), on a pace of our own.</summary>
/// <remarks>The library signs, posts to the file's token_uri and caches; its HTTP factory takes our handler, so a private authority works. What it lacks is
/// added here: one request at a time, a pause after a failure, a floor between tokens (a lifetime of one second must not mean one request a push), and
/// an answer of at most 64 KiB.</remarks>
internal sealed class OAuthTokens : IDisposable
{
    private const string Scope = "https://www.googleapis.com/auth/firebase.messaging";
    private const int MaxAnswerBytes = 64 * 1024;
    private static readonly TimeSpan MintFloor = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan TransientPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan PermanentPause = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan RefreshBefore = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan LongestLife = TimeSpan.FromHours(1);

    private readonly SemaphoreSlim _single = new(1, 1);
    private readonly ServiceAccountCredential _credential;
    private readonly TimeProvider _time;
    private volatile Token? _token;
    private PushVerdict _failure;
    private DateTimeOffset _pausedUntil;

    public OAuthTokens(ServiceAccount account, X509Certificate2Collection? roots, TimeProvider time)
    {
        _time = time;
        _credential = new ServiceAccountCredential(new ServiceAccountCredential.Initializer(account.ClientEmail, account.TokenUri.AbsoluteUri)
        {
            Key = account.PrivateKey,
            KeyId = account.PrivateKeyId,
            Scopes = [Scope],
            Clock = new Clock(time),
            HttpClientFactory = new ClientFactory(roots),
            DefaultExponentialBackOffPolicy = ExponentialBackOffPolicy.None, // repeats are the dispatcher's
        });
    }

    /// <summary>Tokens asked for since the start.</summary>
    public int Requested { get; private set; }

    /// <summary>A token, or the verdict that no push can pass now.</summary>
    public async ValueTask<(string? Token, PushVerdict Failure)> GetAsync(CancellationToken cancellationToken)
    {
        var now = _time.GetUtcNow();
        var token = _token;
        if (token is not null && now < token.RefreshAt)
        {
            return (token.Value, default);
        }

        // Near the end of life one caller renews and the others keep the old token; without one all wait for the first.
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

        if (_time.GetUtcNow() - token.Minted < MintFloor)
        {
            return false;
        }

        Interlocked.CompareExchange(ref _token, null, token);
        return true;
    }

    public void Dispose() => _single.Dispose();

    private async ValueTask<(string? Token, PushVerdict Failure)> RenewAsync(CancellationToken cancellationToken)
    {
        var now = _time.GetUtcNow();
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
            if (!await _credential.RequestAccessTokenAsync(cancellationToken) || _credential.Token.AccessToken is not { Length: > 0 } value)
            {
                return Fail(new PushVerdict(PushOutcome.Transient, "oauth-empty"), TransientPause, usable);
            }

            var life = TimeSpan.FromSeconds(Math.Clamp(_credential.Token.ExpiresInSeconds ?? 0, (long)MintFloor.TotalSeconds, (long)LongestLife.TotalSeconds));
            var margin = life > RefreshBefore * 2 ? RefreshBefore : TimeSpan.Zero;
            _token = new Token(value, now, now + life - margin, now + life);
            return (value, default);
        }
        catch (TokenResponseException e)
        {
            var permanent = e.Error?.Error is "invalid_grant" or "invalid_client" or "unauthorized_client" or "invalid_scope";
            return permanent
                ? Fail(new PushVerdict(PushOutcome.Credential, e.Error!.Error), PermanentPause, usable)
                : Fail(new PushVerdict(PushOutcome.Transient, "oauth-refused"), TransientPause, usable);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or Newtonsoft.Json.JsonException or InvalidOperationException
            || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return Fail(new PushVerdict(PushOutcome.Transient, "oauth-unreachable"), TransientPause, usable);
        }
    }

    private (string? Token, PushVerdict Failure) Fail(PushVerdict failure, TimeSpan pause, string? usable)
    {
        _failure = failure;
        _pausedUntil = _time.GetUtcNow() + pause;
        return usable is null ? (null, failure with { RetryAfter = pause }) : (usable, default);
    }

    private sealed record Token(string Value, DateTimeOffset Minted, DateTimeOffset RefreshAt, DateTimeOffset ExpiresAt)
    {
        public override string ToString() => nameof(Token);
    }

    private sealed class Clock(TimeProvider time) : IClock
    {
        [Obsolete("The library's own interface still has it.")]
        public DateTime Now => time.GetLocalNow().DateTime;

        public DateTime UtcNow => time.GetUtcNow().UtcDateTime;
    }

    private sealed class ClientFactory(X509Certificate2Collection? roots) : IHttpClientFactory
    {
        public ConfigurableHttpClient CreateHttpClient(CreateHttpClientArgs args) =>
            new(new ConfigurableMessageHandler(ProviderHttp.CreateHandler(roots)) { ApplicationName = "marmot-server", IsLoggingEnabled = false, NumTries = 1 })
            {
                Timeout = TimeSpan.FromSeconds(10),
                MaxResponseContentBufferSize = MaxAnswerBytes,
            };
    }
}
