using System.ComponentModel.DataAnnotations;

namespace Marmot.Blossom.Storage.S3;

/// <summary>An S3 bucket as the place of the blobs. The bucket must exist, belong to this server alone and keep no versions: deleted means gone.</summary>
public sealed class S3Options
{
    /// <summary>URL of the service, e.g. <c>https://s3.example.org</c>. Default empty: Amazon's own for <see cref="Region"/>.</summary>
    public string Endpoint { get; set; } = "";

    /// <summary>Name of the bucket. Default empty; needed with <c>Blossom:Blobs=S3</c>.</summary>
    public string Bucket { get; set; } = "";

    /// <summary>Region that requests are signed for. Default us-east-1.</summary>
    [Required]
    public string Region { get; set; } = "us-east-1";

    /// <summary>What the keys of all objects begin with, e.g. <c>blossom/</c>. Default empty.</summary>
    public string Prefix { get; set; } = "";

    /// <summary>File that holds the access key id. Empty, as <see cref="SecretKeyFile"/>: what the machine itself provides (role of the instance or the
    /// pod).</summary>
    public string AccessKeyFile { get; set; } = "";

    /// <summary>File that holds the secret key.</summary>
    public string SecretKeyFile { get; set; } = "";

    /// <summary>Name the bucket in the path, not in the host name. Empty: yes when <see cref="Endpoint"/> is set.</summary>
    public bool? PathStyle { get; set; }

    /// <summary>Answer GET with a redirect (307) to a presigned URL instead of passing the bytes on. Default false: the bucket's headers are then the
    /// operator's to set (CORS <c>*</c>, BUD-01), its log sees the readers, and MDK follows only within one registrable domain.</summary>
    public bool Redirect { get; set; }

    /// <summary>URL clients reach the service by, when it is not <see cref="Endpoint"/>. Default empty.</summary>
    public string PublicEndpoint { get; set; } = "";

    /// <summary>How long a presigned URL is good. Default 5 minutes.</summary>
    [Range(typeof(TimeSpan), "00:00:10", "7.00:00:00")]
    public TimeSpan RedirectLifetime { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Bytes of one part of a large upload. Default 8 MiB; twice that waits in a file on this machine for each upload under way. S3 takes no less than
    /// 5 MiB.</summary>
    [Range(5L * 1024 * 1024, 5L * 1024 * 1024 * 1024)]
    public long PartBytes { get; set; } = 8L * 1024 * 1024;

    /// <summary>How long one request to the service may take before it counts as away. Default 60 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(60);
}
