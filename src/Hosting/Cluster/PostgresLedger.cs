using System.Threading.Channels;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Logging;
using Npgsql;
using NpgsqlTypes;

namespace Marmot.Hosting.Cluster;

/// <summary>The ledger on PostgreSQL, for deployments that have no Redis: an unlogged table; what waits goes together in one statement.</summary>
public sealed class PostgresLedger : IClaimLedger, ISharedValues
{
    private const int MaxBatch = 200;
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(15);

    // A row is taken when it is free, ours already, or out of date. In the order of the hashes, so that two batches never wait for each other.
    private const string ClaimSql = """
        INSERT INTO cluster.claims AS c (hash, owner, done, until)
        SELECT u.hash, u.owner, false, now() + u.ms * interval '1 millisecond' FROM unnest($1, $2, $3) AS u (hash, owner, ms) ORDER BY u.hash
        ON CONFLICT (hash) DO UPDATE SET owner = excluded.owner, done = false, until = excluded.until
        WHERE c.until <= now() OR (c.owner = excluded.owner AND NOT c.done)
        """;

    private const string ReadSql = "SELECT hash, owner, done FROM cluster.claims WHERE hash = ANY ($1)";

    private const string CompleteSql = """
        INSERT INTO cluster.claims AS c (hash, owner, done, until)
        SELECT u.hash, u.owner, true, now() + u.ms * interval '1 millisecond' FROM unnest($1, $2, $3) AS u (hash, owner, ms) ORDER BY u.hash
        ON CONFLICT (hash) DO UPDATE SET owner = excluded.owner, done = true, until = excluded.until
        """;

    private const string ReleaseSql = """
        DELETE FROM cluster.claims c USING unnest($1, $2) AS u (hash, owner) WHERE c.hash = u.hash AND c.owner = u.owner AND NOT c.done
        """;

    private const string OfferSql = """
        INSERT INTO cluster.values AS v (name, value, until) VALUES ($1, $2, now() + $3 * interval '1 millisecond')
        ON CONFLICT (name) DO UPDATE SET value = excluded.value, until = excluded.until WHERE v.until <= now()
        """;

    private readonly NpgsqlDataSource _source;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<Request> _requests = Channel.CreateBounded<Request>(new BoundedChannelOptions(8192) { SingleReader = true });
    private readonly Task _loop;
    private volatile bool _isConnected;
    private bool _hasTables;
    private int _isDisposed;

    /// <param name="connectionString">The database that the replicas share.</param>
    /// <param name="log">For the connection's comings and goings.</param>
    public PostgresLedger(string connectionString, ILogger log)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString)
        {
            MaxPoolSize = 2,
            MaxAutoPrepare = 10,
            AutoPrepareMinUsages = 2,
            CommandTimeout = 3,
            Timeout = 3,
        };
        settings.ApplicationName ??= "marmot-claims";
        _source = NpgsqlDataSource.Create(settings);
        _log = log;
        _loop = Task.Run(RunAsync);
    }

    private enum Step
    {
        Claim,
        Complete,
        Release,
    }

    /// <inheritdoc/>
    public bool IsConnected => _isConnected;

    /// <inheritdoc/>
    public async ValueTask<ClaimAnswer> ClaimAsync(Bytes32 hash, Bytes32 owner, TimeSpan lease, CancellationToken cancel) =>
        await EnqueueAsync(new Request(Step.Claim, hash, owner, lease), cancel);

    /// <inheritdoc/>
    public async ValueTask CompleteAsync(Bytes32 hash, Bytes32 owner, TimeSpan window, CancellationToken cancel) =>
        await EnqueueAsync(new Request(Step.Complete, hash, owner, window), cancel);

    /// <inheritdoc/>
    public async ValueTask ReleaseAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancel) =>
        await EnqueueAsync(new Request(Step.Release, hash, owner, default), cancel);

    /// <inheritdoc/>
    public async ValueTask<byte[]> OfferAsync(Bytes32 name, byte[] value, TimeSpan lifetime, CancellationToken cancel)
    {
        try
        {
            return await BrokenConnections.RetryAsync(_source, async () =>
            {
                await PostgresTables.EnsureAsync(_source, cancel);
                await using var connection = await _source.OpenConnectionAsync(cancel);
                await using var commands = new NpgsqlBatch(connection);
                var offer = new NpgsqlBatchCommand(OfferSql);
                offer.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = name.Span.ToArray() });
                offer.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = value });
                offer.Parameters.Add(new NpgsqlParameter<long> { TypedValue = (long)lifetime.TotalMilliseconds });
                commands.BatchCommands.Add(offer);
                var read = new NpgsqlBatchCommand("SELECT value FROM cluster.values WHERE name = $1");
                read.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = name.Span.ToArray() });
                commands.BatchCommands.Add(read);
                return (byte[])(await commands.ExecuteScalarAsync(cancel))!;
            });
        }
        catch (Exception exception) when (exception is not (OperationCanceledException or IOException))
        {
            // It is away, or answers nonsense: there Npgsql throws whatever its reading stumbles on.
            throw new IOException("PostgreSQL cannot be asked", exception);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            _requests.Writer.TryComplete();
            await _stop.CancelAsync();
            await _loop;
            await _source.DisposeAsync();
            _stop.Dispose();
        }
    }

    private Task<ClaimAnswer> EnqueueAsync(Request request, CancellationToken cancel) =>
        _requests.Writer.TryWrite(request) ? request.Answer.Task.WaitAsync(cancel) : throw new IOException("too many claims are waiting");

    private async Task RunAsync()
    {
        var batch = new List<Request>(MaxBatch);
        var hashes = new HashSet<Bytes32>();
        Request? kept = null;
        var swept = Environment.TickCount64;
        try
        {
            await TryAsync(() => Task.CompletedTask);
            while (kept is not null || await WaitAsync())
            {
                // One request a hash in a batch; the next of the same hash opens the next batch, so that steps of one claim keep their order.
                while (batch.Count < MaxBatch && (kept is not null || _requests.Reader.TryRead(out kept)))
                {
                    if (!hashes.Add(kept.Hash))
                    {
                        break;
                    }

                    batch.Add(kept);
                    kept = null;
                }

                var failure = batch.Count == 0 ? null : await TryAsync(() => AskAsync(batch));
                foreach (var request in batch)
                {
                    if (failure is not null)
                    {
                        request.Answer.TrySetException(new IOException("PostgreSQL cannot be asked", failure));
                    }
                }

                batch.Clear();
                hashes.Clear();
                if (Environment.TickCount64 - swept > SweepInterval.TotalMilliseconds)
                {
                    swept = Environment.TickCount64;
                    await TryAsync(SweepAsync);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }

        if (kept is not null)
        {
            batch.Add(kept);
        }

        while (_requests.Reader.TryRead(out var left))
        {
            batch.Add(left);
        }

        foreach (var left in batch)
        {
            left.Answer.TrySetException(new IOException("the claim ledger stops"));
        }
    }

    private async Task<bool> WaitAsync()
    {
        using var round = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        round.CancelAfter(SweepInterval);
        try
        {
            return await _requests.Reader.WaitToReadAsync(round.Token);
        }
        catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
        {
            return true; // time to sweep
        }
    }

    private async Task<Exception?> TryAsync(Func<Task> work)
    {
        try
        {
            if (!_hasTables)
            {
                await PostgresTables.EnsureAsync(_source, _stop.Token);
                _hasTables = true;
            }

            await BrokenConnections.RetryAsync(_source, async () =>
            {
                await work();
                return true;
            });
            _isConnected = true;
            return null;
        }
        // While stopping, too, a question may end in another way than by being cancelled.
        catch (Exception exception) when (exception is not OperationCanceledException || !_stop.IsCancellationRequested)
        {
            if (_isConnected)
            {
                ClusterLog.Failed(_log, exception.GetType().Name);
            }

            _isConnected = false;
            return exception;
        }
    }

    private async Task AskAsync(List<Request> batch)
    {
        await using var connection = await _source.OpenConnectionAsync(_stop.Token);
        await using var commands = new NpgsqlBatch(connection);
        var claims = batch.Where(r => r.Step == Step.Claim).ToArray();
        var completions = batch.Where(r => r.Step == Step.Complete).ToArray();
        var releases = batch.Where(r => r.Step == Step.Release).ToArray();
        if (completions.Length > 0)
        {
            commands.BatchCommands.Add(Command(CompleteSql, completions, withTime: true));
        }

        if (releases.Length > 0)
        {
            commands.BatchCommands.Add(Command(ReleaseSql, releases, withTime: false));
        }

        if (claims.Length > 0)
        {
            commands.BatchCommands.Add(Command(ClaimSql, claims, withTime: true));
            var read = new NpgsqlBatchCommand(ReadSql);
            read.Parameters.Add(Bytes(claims, r => r.Hash));
            commands.BatchCommands.Add(read);
        }

        var rows = new Dictionary<Bytes32, (Bytes32 Owner, bool IsDone)>();
        await using (var reader = await commands.ExecuteReaderAsync(_stop.Token))
        {
            while (await reader.ReadAsync(_stop.Token))
            {
                rows[new Bytes32(reader.GetFieldValue<byte[]>(0))] = (new Bytes32(reader.GetFieldValue<byte[]>(1)), reader.GetBoolean(2));
            }
        }

        foreach (var request in batch)
        {
            var held = rows.TryGetValue(request.Hash, out var row);
            request.Answer.TrySetResult(
                request.Step != Step.Claim || (held && row.Owner == request.Owner && !row.IsDone) ? ClaimAnswer.Owned
                : held && row.IsDone ? ClaimAnswer.Done
                : ClaimAnswer.Held);
        }
    }

    private async Task SweepAsync()
    {
        await using var sweep = _source.CreateCommand("DELETE FROM cluster.claims WHERE until < now()");
        await sweep.ExecuteNonQueryAsync(_stop.Token);
    }

    private static NpgsqlBatchCommand Command(string sql, Request[] requests, bool withTime)
    {
        var command = new NpgsqlBatchCommand(sql);
        command.Parameters.Add(Bytes(requests, r => r.Hash));
        command.Parameters.Add(Bytes(requests, r => r.Owner));
        if (withTime)
        {
            command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = [.. requests.Select(r => (long)r.Time.TotalMilliseconds)] });
        }

        return command;
    }

    private static NpgsqlParameter<byte[][]> Bytes(Request[] requests, Func<Request, Bytes32> which) =>
        new() { TypedValue = [.. requests.Select(r => which(r).Span.ToArray())], NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea };

    private sealed record Request(Step Step, Bytes32 Hash, Bytes32 Owner, TimeSpan Time)
    {
        public TaskCompletionSource<ClaimAnswer> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
