using System.ComponentModel.DataAnnotations;
using System.Security.Cryptography.X509Certificates;
using Marmot.Hosting.Redis;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.Cluster;

/// <summary>How replicas of a server know of each other. With nothing set they share what <c>Storage:Postgres</c> offers, and a single process shares
/// nothing.</summary>
public sealed class ClusterOptions
{
    /// <summary>Section name.</summary>
    public const string Section = "Cluster";

    /// <summary>Redis as <c>host:port</c>; live events and claims go through it instead of through PostgreSQL. Default empty.</summary>
    public string Redis { get; set; } = "";

    /// <summary>ACL user of Redis. Default empty: the default user.</summary>
    public string RedisUser { get; set; } = "";

    /// <summary>File with the password of Redis, mode 0600. Default empty: none.</summary>
    public string RedisPasswordFile { get; set; } = "";

    /// <summary>Speak TLS with Redis. Default false.</summary>
    public bool RedisTls { get; set; }

    /// <summary>PEM file of a private certificate authority for Redis. Default empty, the system's store.</summary>
    public string RedisCaFile { get; set; } = "";

    /// <summary>Sets this deployment's channels and keys apart from others on the same Redis. Default empty: the deployment's id, which the relay keeps in
    /// PostgreSQL; without PostgreSQL <c>marmot</c>. Up to 32 of a-z, 0-9 and -.</summary>
    [RegularExpression("^[a-z0-9-]{0,32}$", ErrorMessage = "Cluster:Prefix is up to 32 of a-z, 0-9 and -")]
    public string Prefix { get; set; } = "";

    /// <summary>How often a relay looks for events of other replicas that no message told it of. Default 1 s: the longest delay while Redis is away. 100 ms to
    /// 1 minute.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00")]
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The server these settings name.</summary>
    /// <exception cref="IOException">A file they name cannot be read.</exception>
    internal RedisEndpoint ToEndpoint()
    {
        if (!RedisEndpoint.TryParse(Redis, out var endpoint))
        {
            throw new InvalidOperationException("Cluster:Redis is checked before it is used");
        }

        var roots = new X509Certificate2Collection();
        if (RedisCaFile.Length > 0)
        {
            roots.ImportFromPemFile(RedisCaFile);
        }

        return endpoint with
        {
            User = RedisUser,
            Password = RedisPasswordFile.Length > 0 ? File.ReadAllText(RedisPasswordFile).Trim() : "",
            UseTls = RedisTls,
            TrustedRoots = roots.Count > 0 ? roots : null,
        };
    }
}

/// <summary>What annotations cannot say.</summary>
internal sealed class ClusterOptionsValidator : IValidateOptions<ClusterOptions>
{
    public ValidateOptionsResult Validate(string? name, ClusterOptions options)
    {
        var mistakes = new List<string>();
        if (options.Redis.Length > 0 && !RedisEndpoint.TryParse(options.Redis, out _))
        {
            mistakes.Add("Cluster:Redis: expected host:port");
        }

        if (options.RedisPasswordFile.Length > 0 && !File.Exists(options.RedisPasswordFile))
        {
            mistakes.Add("Cluster:RedisPasswordFile: no such file");
        }

        if (options.RedisCaFile.Length > 0 && !File.Exists(options.RedisCaFile))
        {
            mistakes.Add("Cluster:RedisCaFile: no such file");
        }

        return mistakes.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(mistakes);
    }
}
