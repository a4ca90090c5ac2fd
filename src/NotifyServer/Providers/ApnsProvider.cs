using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Hosting;
using Marmot.Platform.Files;

namespace Marmot.NotifyServer.Providers;

/// <summary>Apple Push Notification service, HTTP/2 and nothing older, token authentication.</summary>
/// <remarks>The device token becomes part of the request's URI, a string that .NET cannot wipe; that is a stated boundary.</remarks>
internal sealed class ApnsProvider : IPushProvider
{
    // Apple: do not assume 32 bytes; the bound is what a token of any dialect can hold and a URI should.
    private const int MaxTokenBytes = 200;
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly ApnsConnections _connections;
    private readonly ApnsJwt _jwt;
    private readonly Uri _endpoint;
    private readonly ApnsOptions _options;
    private readonly byte[] _payload;
    private readonly TimeProvider _time;
    private readonly TimeSpan _timeout;
    private readonly bool _ownsJwt;

    public ApnsProvider(ApnsOptions options, ApnsJwt jwt, bool ownsJwt, ApnsConnections connections, TimeSpan timeout, int repeatsAfterTimeout,
        TimeProvider time)
    {
        _options = options;
        _ownsJwt = ownsJwt;
        RepeatsAfterTimeout = options.Mode == ApnsMode.Silent ? repeatsAfterTimeout : 0; // an alert shown twice is seen, a device woken twice is not
        _jwt = jwt;
        _connections = connections;
        _timeout = timeout;
        _time = time;
        _endpoint = EndpointOf(options);
        _payload = WritePayload(options);
    }

    public string Name => "apns";

    public int RepeatsAfterTimeout { get; }

    public ApnsJwt Jwt => _jwt;

    public ApnsConnections Connections => _connections;

    /// <summary>Reads the .p8 and makes the provider; the file's mode is checked like every secret's.</summary>
    /// <param name="options">The app's APNs settings.</param>
    /// <param name="caFile">A private authority, or empty.</param>
    /// <param name="timeout">Longest time of one request.</param>
    /// <param name="time">The clock.</param>
    /// <param name="repeatsAfterTimeout">For silent pushes.</param>
    /// <param name="jwts">Shares provider tokens with other apps and other lives of this one; null: its own.</param>
    public static ApnsProvider Create(ApnsOptions options, string caFile, TimeSpan timeout, TimeProvider time, int repeatsAfterTimeout = 1,
        ApnsJwts? jwts = null)
    {
        var key = ECDsa.Create();
        try
        {
            key.ImportFromPem(SecretFile.ReadText(options.KeyFile));
        }
        catch (Exception e) when (e is ArgumentException or CryptographicException)
        {
            key.Dispose();
            throw new InvalidDataException("Apns:KeyFile is not a PEM private key"); // the cause may quote the file
        }

        var jwt = jwts?.Get(key, options.TeamId, options.KeyId) ?? new ApnsJwt(key, options.TeamId, options.KeyId, time);
        return new ApnsProvider(options, jwt, jwts is null, new ApnsConnections(options.Connections, ProviderHttp.LoadRoots(caFile), time), timeout,
            repeatsAfterTimeout, time);
    }

    /// <summary>The endpoint these settings mean.</summary>
    public static Uri EndpointOf(ApnsOptions options) => new(options.Endpoint.Length > 0 ? options.Endpoint
        : options.Environment == "sandbox" ? ApnsOptions.SandboxEndpoint : ApnsOptions.ProductionEndpoint);

    public bool IsPlausible(ReadOnlySpan<byte> deviceToken) => deviceToken.Length is >= 1 and <= MaxTokenBytes;

    public async ValueTask<PushVerdict> SendAsync(PushJob job, CancellationToken cancellationToken)
    {
        var jwt = _jwt.Current();
        var verdict = await SendOnceAsync(job, jwt, cancellationToken);
        if (verdict.Reason is PushReason.ExpiredProviderToken or PushReason.InvalidProviderToken)
        {
            // One fresh token, one repeat; below the floor the old one stays and the lane's circuit waits.
            return _jwt.TryReplace(jwt, expired: verdict.Reason == PushReason.ExpiredProviderToken)
                ? await SendOnceAsync(job, _jwt.Current(), cancellationToken)
                : verdict;
        }

        if (verdict.Reason != PushReason.TooManyProviderTokenUpdates)
        {
            return verdict;
        }

        // The token before it may still be good: Apple takes one for an hour, whatever came after it.
        return _jwt.TryFallBack(jwt)
            ? await SendOnceAsync(job, _jwt.Current(), cancellationToken)
            : verdict with { RetryAfter = verdict.RetryAfter ?? ApnsJwt.MintFloor };
    }

    public void Dispose()
    {
        _connections.Dispose();
        if (_ownsJwt)
        {
            _jwt.Dispose();
        }
    }

    private async ValueTask<PushVerdict> SendOnceAsync(PushJob job, string jwt, CancellationToken cancellationToken)
    {
        var slot = _connections.Next();
        using var deadline = new CancellationTokenSource(_timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        var first = false;
        var content = new WatchedContent(_payload, Json);
        try
        {
            if (!slot.IsProven)
            {
                await slot.FirstRequest.WaitAsync(either.Token);
                first = true;
                if (slot.IsProven)
                {
                    slot.FirstRequest.Release();
                    first = false;
                }
            }

            using var request = CreateRequest(job, jwt, content);
            using var response = await slot.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            Volatile.Write(ref slot.Timeouts, 0);
            slot.IsProven |= response.StatusCode != HttpStatusCode.Forbidden;
            var verdict = await ReadAsync(response, either.Token);
            if (verdict.Outcome == PushOutcome.Reconnect)
            {
                _connections.Retire(slot);
            }

            return verdict;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            _connections.TimedOut(slot);
            return content.Unanswered(PushVerdict.TimedOut);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return content.Unanswered(PushVerdict.Unreachable, e);
        }
        finally
        {
            if (first)
            {
                slot.FirstRequest.Release();
            }
        }
    }

    private async ValueTask<PushVerdict> ReadAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        if (response.StatusCode == HttpStatusCode.OK)
        {
            return PushVerdict.Accepted;
        }

        var (buffer, length) = await ProviderHttp.ReadAnswerAsync(response, cancellationToken);
        try
        {
            return ApnsReasons.Sort(response.StatusCode, buffer.AsSpan(0, length), ProviderHttp.RetryAfter(response.Headers, _time.GetUtcNow()));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private HttpRequestMessage CreateRequest(PushJob job, string jwt, WatchedContent content)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_endpoint, "/3/device/" + Convert.ToHexStringLower(job.DeviceToken)))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        var headers = request.Headers;
        headers.TryAddWithoutValidation("authorization", "bearer " + jwt);
        headers.TryAddWithoutValidation("apns-topic", _options.Topic);
        headers.TryAddWithoutValidation("apns-push-type", _options.Mode == ApnsMode.Silent ? "background" : "alert");
        headers.TryAddWithoutValidation("apns-priority", _options.Mode == ApnsMode.Silent ? "5" : "10"); // Apple: 10 is an error for background
        headers.TryAddWithoutValidation("apns-expiration", Expiration(job).ToString(CultureInfo.InvariantCulture));
        headers.TryAddWithoutValidation("apns-id", job.Id.ToString());
        if (_options.CollapseId.Length > 0)
        {
            headers.TryAddWithoutValidation("apns-collapse-id", _options.CollapseId);
        }

        return request;
    }

    // A date, since Apple counts by its own clock; made from the time left, so that a step of ours since the arrival does not matter.
    private long Expiration(PushJob job) => (_time.GetUtcNow() + (job.Deadline - _time.GetUptime())).ToUnixTimeSeconds();

    private static byte[] WritePayload(ApnsOptions options)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteStartObject("aps");
            if (options.Mode == ApnsMode.Silent)
            {
                json.WriteNumber("content-available", 1);
            }
            else
            {
                json.WriteStartObject("alert");
                json.WriteString("title", options.AlertTitle);
                json.WriteString("body", options.AlertBody);
                json.WriteEndObject();
                if (options.Mode == ApnsMode.Mutable)
                {
                    json.WriteNumber("mutable-content", 1);
                }

                json.WriteString("sound", "default");
            }

            json.WriteEndObject();
            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }
}
