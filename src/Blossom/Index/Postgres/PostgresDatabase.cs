using Marmot.Blossom.Auth;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Marmot.Blossom.Index.Postgres;

/// <summary>The connections to the database: made ready on first use, faults told apart at one place.</summary>
internal sealed class PostgresDatabase : IAsyncDisposable
{
    /// <summary>Before the second and the third attempt. A database that is away for longer is answered with 503.</summary>
    private static readonly TimeSpan[] Pauses = [TimeSpan.Zero, TimeSpan.FromMilliseconds(250)];

    private const long MigrationLock = 0x6D61726D_6F74626C; // "marmotbl"; advisory locks have numbers for names

    private readonly NpgsqlDataSource _source;
    private readonly OwnerTags _owners;
    private readonly SemaphoreSlim _opening = new(1, 1);
    private volatile bool _open;

    public PostgresDatabase(string connectionString, OwnerTags owners)
    {
        // Waiting is short where the operator did not say otherwise: an answer of 503 serves a client better than none.
        var settings = new NpgsqlConnectionStringBuilder
        {
            Timeout = 5,
            CommandTimeout = 15,
            KeepAlive = 15,
            MaxAutoPrepare = 32,
            ApplicationName = "marmot-blossom",
        };
        foreach (var (key, value) in new NpgsqlConnectionStringBuilder(connectionString))
        {
            settings[key] = value;
        }

        _owners = owners;
        _source = NpgsqlDataSource.Create(settings);
    }

    /// <summary>Whether lists by owner are possible.</summary>
    public bool Listable => _owners.Listable;

    /// <summary>A connection with the schema in place.</summary>
    public async ValueTask<NpgsqlConnection> OpenAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await ConnectAsync(cancellationToken);
        }
        catch (Exception error) when (PostgresFaults.Translate(error) is { } told)
        {
            throw told;
        }
    }

    /// <summary>A question, asked again on a fresh connection when the one it had turns out to be lost.</summary>
    public async ValueTask<T> AskAsync<T>(Func<NpgsqlConnection, CancellationToken, ValueTask<T>> ask, CancellationToken cancellationToken)
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                await using var connection = await ConnectAsync(cancellationToken);
                return await ask(connection, cancellationToken);
            }
            catch (Exception error) when (PostgresFaults.IsConnectionLost(error) && attempt < Pauses.Length)
            {
                await DropConnectionsAsync(Pauses[attempt], cancellationToken);
            }
            catch (Exception error) when (PostgresFaults.Translate(error) is { } told)
            {
                _source.Clear();
                throw told;
            }
        }
    }

    /// <summary>A change that comes to the same when it is made twice. Never cancelled: half an answer would leave the caller not knowing.</summary>
    public ValueTask<T> ChangeTwiceAsync<T>(Func<NpgsqlConnection, ValueTask<T>> change) =>
        AskAsync((connection, _) => change(connection), CancellationToken.None);

    /// <summary>A change that is made once and never cancelled. Its connection is tried first: a pooled one may have died with the database it was opened
    /// to.</summary>
    public async ValueTask<T> ChangeAsync<T>(Func<NpgsqlConnection, ValueTask<T>> change)
    {
        try
        {
            await using var connection = await ConnectAndTryAsync();
            return await change(connection);
        }
        catch (Exception error) when (PostgresFaults.Translate(error) is { } told)
        {
            _source.Clear();
            throw told;
        }
    }

    public BlossomDbContext CreateContext() => new(new DbContextOptionsBuilder<BlossomDbContext>()
        .UseNpgsql(_source, postgres => postgres.MigrationsHistoryTable(BlossomDbContext.HistoryTable)).Options);

    public async ValueTask DisposeAsync()
    {
        await _source.DisposeAsync();
        _opening.Dispose();
    }

    private async ValueTask<NpgsqlConnection> ConnectAsync(CancellationToken cancellationToken)
    {
        if (!_open)
        {
            await MakeReadyAsync(cancellationToken);
        }

        return await _source.OpenConnectionAsync(cancellationToken);
    }

    private async ValueTask<NpgsqlConnection> ConnectAndTryAsync()
    {
        for (var attempt = 0; ; attempt++)
        {
            var connection = await ConnectAsync(CancellationToken.None);
            try
            {
                await using var question = new NpgsqlCommand("SELECT 1", connection);
                await question.ExecuteScalarAsync(CancellationToken.None);
                return connection;
            }
            catch (Exception error)
            {
                await connection.DisposeAsync();
                if (!PostgresFaults.IsConnectionLost(error) || attempt == Pauses.Length)
                {
                    throw;
                }

                await DropConnectionsAsync(Pauses[attempt], CancellationToken.None);
            }
        }
    }

    /// <summary>After a restart of the database every pooled connection is lost: none of them is handed out again.</summary>
    private Task DropConnectionsAsync(TimeSpan pause, CancellationToken cancellationToken)
    {
        _source.Clear();
        return Task.Delay(pause, cancellationToken);
    }

    private async Task MakeReadyAsync(CancellationToken cancellationToken)
    {
        await _opening.WaitAsync(cancellationToken);
        try
        {
            if (_open)
            {
                return;
            }

            // One replica at a time. The framework's own lock lasts for one migration only, and of two replicas the second then made the rest twice.
            await using var connection = await _source.OpenConnectionAsync(cancellationToken);
            await using (var take = new NpgsqlCommand("SELECT pg_advisory_lock($1)", connection)
            {
                Parameters = { new NpgsqlParameter<long> { TypedValue = MigrationLock } },
            })
            {
                await take.ExecuteNonQueryAsync(cancellationToken);
            }

            await using var context = CreateContext();
            await context.Database.MigrateAsync(cancellationToken);
            await using (var give = new NpgsqlCommand("SELECT pg_advisory_unlock($1)", connection)
            {
                Parameters = { new NpgsqlParameter<long> { TypedValue = MigrationLock } },
            })
            {
                await give.ExecuteNonQueryAsync(cancellationToken); // after a failure the reset of the pooled connection does it
            }

            await CheckSecretAsync(cancellationToken);
            _open = true;
        }
        finally
        {
            _opening.Release();
        }
    }

    /// <summary>A replica with another owner secret could delete nothing of what the others took; better it does not start.</summary>
    private async Task CheckSecretAsync(CancellationToken cancellationToken)
    {
        await using var command = _source.CreateCommand(
            "INSERT INTO blossom_facts (name, value) VALUES ('owner-tags', $1) ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name RETURNING value = $1");
        command.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = _owners.Fingerprint() });
        if (await command.ExecuteScalarAsync(cancellationToken) is not true)
        {
            throw new ForeignIndexException();
        }
    }
}
