using System.ComponentModel.DataAnnotations;
using Marmot.Blossom.Storage.S3;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom;

/// <summary>What the store is for; decides the defaults that are left empty below.</summary>
public enum BlossomProfile
{
    /// <summary>Marmot: opaque octet-stream only, blobs expire, no list, mirror or reports, owners stored as HMACs.</summary>
    Private,

    /// <summary>A public Blossom server: types kept, list, mirror and reports on, no expiry, owners stored as keys.</summary>
    General,
}

/// <summary>Where the bytes are.</summary>
public enum BlobStorage
{
    /// <summary>Files below <c>Storage:DataDirectory</c>.</summary>
    Disk,

    /// <summary>Objects in a bucket, see <see cref="S3Options"/>; for replicas, together with <c>Storage:Postgres</c>.</summary>
    S3,
}

/// <summary>Settings of the blob store. Times are <c>d.hh:mm:ss</c>; 0 bytes or an empty list means "no limit" unless said otherwise.</summary>
public sealed class BlossomOptions : IValidatableObject
{
    /// <summary>Section name.</summary>
    public const string Section = "Blossom";

    /// <summary>Default Private.</summary>
    public BlossomProfile Profile { get; set; } = BlossomProfile.Private;

    /// <summary>Default Disk.</summary>
    public BlobStorage Blobs { get; set; } = BlobStorage.Disk;

    /// <summary>The bucket when <see cref="Blobs"/> is S3.</summary>
    public S3Options S3 { get; set; } = new();

    /// <summary>File with the 32 bytes that owners' tags are made with in the private profile; replicas need the same one. Default empty: made in the data
    /// folder on the first run.</summary>
    public string OwnerSecretFile { get; set; } = "";

    /// <summary>BUD-12 GET /list. Empty: the profile decides.</summary>
    public bool? List { get; set; }

    /// <summary>Answer GET /list only to the key itself (token of verb <c>list</c>). Default true: a public list tells who shares what.</summary>
    public bool ListOwnerOnly { get; set; } = true;

    /// <summary>BUD-04 PUT /mirror. Empty: the profile decides.</summary>
    public bool? Mirror { get; set; }

    /// <summary>BUD-09 PUT /report. Empty: the profile decides.</summary>
    public bool? Reports { get; set; }

    /// <summary>Keep the declared type of a blob instead of application/octet-stream. Empty: the profile decides.</summary>
    public bool? KeepTypes { get; set; }

    /// <summary>Types that may be uploaded, e.g. <c>image/*</c>. Default empty: all. application/octet-stream is always taken.</summary>
    public string[] AllowedTypes { get; set; } = [];

    /// <summary>Largest blob in bytes. Default 536870928: 512 MiB, the largest file of MDK, and the 16-byte tag of its AEAD.</summary>
    [Range(1, 1L << 42)]
    public long MaxUploadBytes { get; set; } = (512L * 1024 * 1024) + 16;

    /// <summary>How long a blob is kept. Empty: 30 days in the private profile (what Marmot's author asks for), for ever in the general one. 0 = for
    /// ever.</summary>
    public TimeSpan? Retention { get; set; }

    /// <summary>Retention by type or size, first match wins, before <see cref="Retention"/>.</summary>
    public RetentionRule[] RetentionRules { get; set; } = [];

    /// <summary>Refuse uploads that would leave less than this free on the disk. Default 256 MiB.</summary>
    [Range(0, 1L << 50)]
    public long MinFreeBytes { get; set; } = 256L * 1024 * 1024;

    /// <summary>Bytes stored at most over all blobs. Default 0: no limit.</summary>
    [Range(0, 1L << 60)]
    public long MaxTotalBytes { get; set; }

    /// <summary>Uploads a minute from one address prefix (IPv4 /32, IPv6 /56). Default 60. 0 = no limit.</summary>
    [Range(0, 1_000_000)]
    public int UploadsPerMinute { get; set; } = 60;

    /// <summary>Uploads an address may do at once before the rate counts; an album must pass. Default 200.</summary>
    [Range(1, 1_000_000)]
    public int UploadBurst { get; set; } = 200;

    /// <summary>Bytes an hour from one address prefix; the whole hour may be used at once. Default 4 GiB. 0 = no limit.</summary>
    [Range(0, 1L << 50)]
    public long UploadBytesPerHour { get; set; } = 4L * 1024 * 1024 * 1024;

    /// <summary>Bytes a day by one key; not kept over a restart. Default 0: Marmot's keys are throw-away, so this limits nobody who means harm.</summary>
    [Range(0, 1L << 50)]
    public long KeyBytesPerDay { get; set; }

    /// <summary>Bytes a key may have stored in all, over restarts and replicas. Default 0: no limit. In the general profile only: the private one cannot tell
    /// which blobs are whose.</summary>
    [Range(0, 1L << 60)]
    public long KeyBytesStored { get; set; }

    /// <summary>
    /// Delete a blob that nobody has uploaded or read for so long, before its retention ends. Default 0: not. At least 7 days: devices sleep. Noted is the
    /// day of the last download, not who.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "3650.00:00:00")]
    public TimeSpan EndUnreadAfter { get; set; }

    /// <summary>Questions for blobs that are not there, a minute and address prefix: HEAD tells who has a hash whether it is stored. Default 600. 0 = no
    /// limit.</summary>
    [Range(0, 1_000_000)]
    public int MissesPerMinute { get; set; } = 600;

    /// <summary>Count loopback callers too. Default false: a loopback caller is the reverse proxy, and all its users would share one budget.</summary>
    public bool LimitLoopback { get; set; }

    /// <summary>Keys that may upload, hex or npub. Default empty: all. Locks out Marmot's throw-away keys; for communities whose clients sign with the
    /// account's key.</summary>
    public string[] AllowedKeys { get; set; } = [];

    /// <summary>NIP-13 bits the upload token must commit to and show. Default 0. No client does this today.</summary>
    [Range(0, 64)]
    public int WorkBits { get; set; }

    /// <summary>Ask for <see cref="WorkBits"/> only above this size in bytes. Default 0: always.</summary>
    [Range(0, 1L << 42)]
    public long WorkAboveBytes { get; set; }

    /// <summary>GET and HEAD only with a token of verb <c>get</c>. Default false: Marmot's clients send none.</summary>
    public bool RequireGetToken { get; set; }

    /// <summary>File with one blocked SHA-256 a line, 64 hex digits; comments begin with <c>#</c>. Read again when it changes. Refused with 403 on upload and
    /// mirror, 404 on GET.</summary>
    public string BlockedHashesFile { get; set; } = "";

    /// <summary>Slowest body accepted from an uploader or from the origin of a mirror, bytes a second after <see cref="SlowUploadGrace"/>. Default
    /// 1024.</summary>
    [Range(1, 1_000_000)]
    public int MinUploadBytesPerSecond { get; set; } = 1024;

    /// <summary>How long a body may be slower than that. Default 10 s: a phone that changes networks.</summary>
    [Range(typeof(TimeSpan), "00:00:01.100", "00:10:00")]
    public TimeSpan SlowUploadGrace { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Slowest reader of a blob, bytes a second after <see cref="SlowDownloadGrace"/>, for each piece of it. Default 1024.</summary>
    [Range(1, 1_000_000)]
    public int MinDownloadBytesPerSecond { get; set; } = 1024;

    /// <summary>How long a reader may be slower than that. Default 10 s: a phone that changes networks.</summary>
    [Range(typeof(TimeSpan), "00:00:01.100", "00:10:00")]
    public TimeSpan SlowDownloadGrace { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the body of a refused request is read and thrown away, so that its client gets to read the answer. Default 1 minute: 600 MB at 80
    /// Mbit/s. 0: not at all.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00")]
    public TimeSpan RefusedBodyTime { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Mirror fetches under way at once. Default 8.</summary>
    [Range(1, 1024)]
    public int MaxConcurrentMirrors { get; set; } = 8;

    /// <summary>How long the origin of a mirror may be silent before the head of its answer is there, redirects included. Default 20 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "00:10:00")]
    public TimeSpan MirrorAnswerTimeout { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>A mirror fetch takes at most this long. Default 5 minutes.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00")]
    public TimeSpan MirrorTimeout { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Let /mirror fetch from private and loopback addresses. Default false; for test networks only, it opens the host's own network to
    /// callers.</summary>
    public bool MirrorPrivateAddresses { get; set; }

    /// <summary>How often ended blobs are looked for. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "1.00:00:00")]
    public TimeSpan SweepInterval { get; set; } = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        var results = new List<ValidationResult>();
        if (Blobs == BlobStorage.S3 && S3.Bucket.Length == 0)
        {
            results.Add(new ValidationResult("S3:Bucket is needed with Blobs=S3"));
        }

        if (S3.AccessKeyFile.Length > 0 != S3.SecretKeyFile.Length > 0)
        {
            results.Add(new ValidationResult("S3:AccessKeyFile and S3:SecretKeyFile belong together"));
        }

        results.AddRange(
            new[] { S3.Endpoint, S3.PublicEndpoint }.Where(url => url.Length > 0
                && !(Uri.TryCreate(url, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
            .Select(_ => new ValidationResult("S3:Endpoint and S3:PublicEndpoint must be URLs, e.g. https://s3.example.org")));
        results.AddRange(AllowedKeys.Index().Where(key => !TryReadKey(key.Item, out _))
            .Select(key => new ValidationResult($"AllowedKeys:{key.Index}: expected 64 hex digits or an npub")));
        if (KeyBytesStored > 0 && Profile == BlossomProfile.Private)
        {
            results.Add(new ValidationResult("KeyBytesStored needs Profile=General: the private profile cannot tell which blobs are whose"));
        }

        if (EndUnreadAfter > TimeSpan.Zero && EndUnreadAfter < TimeSpan.FromDays(7))
        {
            results.Add(new ValidationResult("EndUnreadAfter: 0, or at least 7 days; devices sleep"));
        }

        try
        {
            if (BlockedHashesFile.Length > 0)
            {
                ReadBlockedHashes(BlockedHashesFile);
            }
        }
        catch (InvalidDataException error)
        {
            results.Add(new ValidationResult($"BlockedHashesFile: {error.Message}"));
        }

        return results;
    }

    /// <exception cref="InvalidDataException">The file cannot be read, or a line is no hash.</exception>
    internal static IReadOnlyList<Bytes32> ReadBlockedHashes(string path) => ListFile.Read<Bytes32>(
        path, static (text, out hash) => Bytes32.TryParseHex(text.ToLowerInvariant(), out hash), "64 hex digits, a SHA-256");

    internal static bool TryReadKey(string text, out Bytes32 key) =>
        Nip19.TryDecodePublicKeyOrHex(text, out key) || Bytes32.TryParseHex(text.ToLowerInvariant(), out key);

    internal bool Lists => List ?? Profile == BlossomProfile.General;

    internal bool Mirrors => Mirror ?? Profile == BlossomProfile.General;

    internal bool TakesReports => Reports ?? Profile == BlossomProfile.General;

    internal bool KeepsTypes => KeepTypes ?? Profile == BlossomProfile.General;

    internal TimeSpan KeepFor => Retention ?? (Profile == BlossomProfile.Private ? TimeSpan.FromDays(30) : TimeSpan.Zero);
}

/// <summary>A retention for some blobs.</summary>
public sealed class RetentionRule
{
    /// <summary>Type the rule is for, <c>image/*</c> and <c>*</c> allowed. Default all.</summary>
    public string Type { get; set; } = "*";

    /// <summary>Smallest size in bytes the rule is for. Default 0.</summary>
    [Range(0, 1L << 42)]
    public long MinBytes { get; set; }

    /// <summary>How long such a blob is kept; 0 = for ever.</summary>
    public TimeSpan Keep { get; set; }
}
