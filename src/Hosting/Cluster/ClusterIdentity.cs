using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Marmot.Hosting.Cluster;

/// <summary>Which deployment this process is of, and which history of its database: what sets it apart from others on the same Redis
/// (docs/decisions/0020).</summary>
/// <param name="Prefix">What every channel and key begins with.</param>
/// <param name="Deployment">A number of the deployment, in every message: two may have been given one prefix.</param>
/// <param name="History">A number of the database's history: another one after a restore, and then what was said before does not count. 0 without a
/// database.</param>
public sealed record DeploymentIdentity(string Prefix, ulong Deployment, ulong History);

/// <summary>Knows the identity: from the database that the replicas share, where the relay keeps it, and asks again every few seconds; without a database it is
/// the prefix alone.</summary>
/// <remarks>Thread-safe.</remarks>
public sealed class ClusterIdentity : IAsyncDisposable
{
    /// <summary>The prefix where there is no database and none is set.</summary>
    public const string DefaultPrefix = "marmot";

    private const string Sql = "SELECT id, history FROM relay.deployment";
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan FirstInterval = TimeSpan.FromSeconds(1);
    private readonly string _prefix;
    private readonly ILogger? _log;
    private readonly NpgsqlDataSource? _source;
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _wanted = new(0, 1);
    private readonly Task _loop = Task.CompletedTask;
    private volatile DeploymentIdentity? _current;
    private bool _isAway;
    private int _isDisposed;

    /// <param name="postgres">The database that the replicas share; empty for none.</param>
    /// <param name="prefix">The prefix that the operator chose; empty: the deployment's id, without a database <see cref="DefaultPrefix"/>.</param>
    /// <param name="log">Told when the database cannot be asked.</param>
    public ClusterIdentity(string postgres, string prefix, ILogger log)
    {
        _prefix = prefix;
        _log = log;
        if (postgres.Length == 0)
        {
            _current = WithoutDatabase(prefix);
            return;
        }

        var settings = new NpgsqlConnectionStringBuilder(postgres) { MaxPoolSize = 1, Timeout = 3, CommandTimeout = 3 };
        settings.ApplicationName ??= "marmot-identity";
        _source = NpgsqlDataSource.Create(settings);
        _loop = Task.Run(RunAsync);
    }

    private ClusterIdentity(DeploymentIdentity identity)
    {
        _prefix = identity.Prefix;
        _current = identity;
    }

    /// <summary>What is known; null until the database has been asked for the first time.</summary>
    public DeploymentIdentity? Current => _current;

    /// <summary>Raised after <see cref="Current"/> changed.</summary>
    public event Action? Changed;

    /// <summary>An identity that is its prefix alone.</summary>
    public static ClusterIdentity Fixed(string prefix) => new(WithoutDatabase(prefix));

    /// <summary>Asks the database again soon: somebody spoke of a history that is not known here.</summary>
    public void RefreshSoon()
    {
        try
        {
            _wanted.Release();
        }
        catch (SemaphoreFullException)
        {
            // Already asked for.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            await _stop.CancelAsync();
            await _loop;
            if (_source is { } source)
            {
                await source.DisposeAsync();
            }

            _stop.Dispose();
            _wanted.Dispose();
        }
    }

    internal static DeploymentIdentity OfDatabase(string prefix, Guid deployment, Guid history) =>
        new(prefix.Length > 0 ? prefix : $"{DefaultPrefix}:{deployment.ToString("N")[..16]}", Number(deployment.ToString("N")), Number(history.ToString("N")));

    private static DeploymentIdentity WithoutDatabase(string prefix) => new(prefix.Length > 0 ? prefix : DefaultPrefix, 0, 0);

    private static ulong Number(string text) => BinaryPrimitives.ReadUInt64BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                await AskAsync();
                await _wanted.WaitAsync(_current is null ? FirstInterval : Interval, _stop.Token);
                await Task.Delay(50, _stop.Token); // many messages of one unknown history are one question
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
    }

    private async Task AskAsync()
    {
        DeploymentIdentity identity;
        try
        {
            await using var command = _source!.CreateCommand(Sql);
            await using var reader = await command.ExecuteReaderAsync(_stop.Token);
            identity = await reader.ReadAsync(_stop.Token) ? OfDatabase(_prefix, reader.GetGuid(0), reader.GetGuid(1)) : WithoutDatabase(_prefix);
            _isAway = false;
        }
        catch (PostgresException exception) when (exception.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName)
        {
            identity = WithoutDatabase(_prefix); // no relay has made its tables there, or not yet
        }
        catch (Exception exception) when (!_stop.IsCancellationRequested)
        {
            // It is away, or answers nonsense: there Npgsql throws whatever its reading stumbles on.
            if (!_isAway)
            {
                ClusterLog.Failed(_log!, exception.GetType().Name);
            }

            _isAway = true; // what was known goes on
            return;
        }
        catch (Exception)
        {
            return; // stopping, and Npgsql's way of ending a question is not always a cancellation
        }

        if (identity != _current)
        {
            _current = identity;
            Changed?.Invoke();
        }
    }
}
