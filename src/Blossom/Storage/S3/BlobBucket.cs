using System.Net;
using Amazon;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Storage.S3;

/// <summary>The bucket: its clients, the names of its objects, its faults in the words of <see cref="IBlobStore"/>.</summary>
internal sealed class BlobBucket : IDisposable
{
    public const string Part = "S3";
    private readonly BucketHttp _http;
    private readonly AmazonS3Client? _presigner;
    private readonly S3Options _options;

    public BlobBucket(S3Options options)
    {
        _options = options;
        _http = new BucketHttp(options.Timeout);
        Client = CreateClient(options, options.Endpoint, _http);
        _presigner = !options.Redirect ? null : options.PublicEndpoint.Length > 0 ? CreateClient(options, options.PublicEndpoint, _http) : Client;
    }

    public AmazonS3Client Client { get; }

    public string Name => _options.Bucket;

    /// <summary>Objects are <c>&lt;prefix&gt;&lt;hash&gt;/&lt;mark&gt;</c>: the hash in the URL as BUD-01 asks of redirects, the mark because a place is used
    /// once.</summary>
    public string KeyOf(BlobPlace place) => $"{_options.Prefix}{place.Hash}/{place.Mark:N}";

    public string KeyPrefix => _options.Prefix;

    public bool TryReadKey(string key, out BlobPlace place)
    {
        place = default;
        var rest = key.AsSpan(_options.Prefix.Length);
        if (rest.Length != Bytes32.HexSize + 1 + 32 || rest[Bytes32.HexSize] != '/'
            || !Bytes32.TryParseHex(rest[..Bytes32.HexSize], out var hash) || !Guid.TryParseExact(rest[(Bytes32.HexSize + 1)..], "N", out var mark))
        {
            return false;
        }

        place = new BlobPlace(hash, mark);
        return true;
    }

    /// <summary>Runs a request; every way S3 can fail becomes one of two exceptions.</summary>
    /// <exception cref="FileNotFoundException">No such object. Only S3's own word for it counts: a web server that is no S3 has its 404 for
    /// everything.</exception>
    /// <exception cref="StorageUnavailableException">Anything else.</exception>
    public async Task<T> AskAsync<T>(Func<AmazonS3Client, Task<T>> request, CancellationToken cancellationToken)
    {
        try
        {
            return await request(Client);
        }
        catch (AmazonS3Exception error) when (error is { StatusCode: HttpStatusCode.NotFound, ErrorCode: "NoSuchKey" })
        {
            throw new FileNotFoundException("no such object", error);
        }
        catch (Exception error) when (IsAway(error, cancellationToken))
        {
            throw new StorageUnavailableException(Part, error);
        }
    }

    /// <summary>Anything but the caller's own wish: a service that answers nonsense makes its library throw whatever it meets first.</summary>
    public static bool IsAway(Exception error, CancellationToken cancellationToken) =>
        error is not (StorageUnavailableException or FileNotFoundException)
        && !(error is OperationCanceledException && cancellationToken.IsCancellationRequested); // else it is HttpClient's way to say "timed out"

    /// <summary>What a success must carry; an endpoint that says yes to everything (a captive portal, a wrong server) carries none.</summary>
    /// <exception cref="StorageUnavailableException">It does not.</exception>
    public static string Require(string? value, string what) =>
        string.IsNullOrEmpty(value) ? throw new StorageUnavailableException(Part, new InvalidDataException($"an answer without {what}")) : value;

    /// <summary>A URL that gives the object to whoever has it, with the headers BUD-01 asks for.</summary>
    public Uri? Presign(BlobPlace place, string type, bool asAttachment)
    {
        if (_presigner is null)
        {
            return null;
        }

        var endpoint = _options.PublicEndpoint.Length > 0 ? _options.PublicEndpoint : _options.Endpoint;
        return new Uri(_presigner.GetPreSignedURL(new GetPreSignedUrlRequest
        {
            BucketName = Name,
            Key = KeyOf(place),
            Verb = HttpVerb.GET,
            Expires = DateTime.UtcNow + _options.RedirectLifetime,
            Protocol = endpoint.StartsWith("http:", StringComparison.OrdinalIgnoreCase) ? Amazon.S3.Protocol.HTTP : Amazon.S3.Protocol.HTTPS,
            ResponseHeaderOverrides = { ContentType = type, ContentDisposition = asAttachment ? "attachment" : null },
        }));
    }

    public void Dispose()
    {
        if (_presigner != Client)
        {
            _presigner?.Dispose();
        }

        Client.Dispose();
        _http.Dispose();
    }

    private static AmazonS3Client CreateClient(S3Options options, string endpoint, BucketHttp http)
    {
        var config = new AmazonS3Config
        {
            AuthenticationRegion = options.Region,
            ForcePathStyle = options.PathStyle ?? endpoint.Length > 0,
            Timeout = options.Timeout,
            HttpClientFactory = http,
            MaxErrorRetry = 2,
            // Not every S3 knows the newer checksums; bodies are signed, and small ones carry their SHA-256.
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
        };
        if (endpoint.Length > 0)
        {
            config.ServiceURL = endpoint;
        }
        else
        {
            config.RegionEndpoint = RegionEndpoint.GetBySystemName(options.Region);
        }

        return options.AccessKeyFile.Length > 0
            ? new AmazonS3Client(new BasicAWSCredentials(ReadSecret(options.AccessKeyFile), ReadSecret(options.SecretKeyFile)), config)
            : new AmazonS3Client(config);
    }

    private static string ReadSecret(string path) => File.ReadAllText(path).Trim();
}
