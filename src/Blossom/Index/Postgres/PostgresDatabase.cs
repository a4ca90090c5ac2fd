using Marmot.Blossom.Auth;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Marmot.Blossom.Index.Postgres;

/// <summary>The connections to the database: made ready on first use, faults told apart at one place.</summary>
internal sealed class PostgresDatabase : IAsyncDisposable
{
    private readonly NpgsqlDataSource _source;
    private readonly OwnerTags _owners;
    private readonly SemaphoreSlim _opening = new(1, 1);
    private volatile bool _open;

    public PostgresDatabase(string connectionString, OwnerTags owners)
    {
        // Waiting is short where the operator did not say otherwise: an answer of 503 serves a client better than none.
        var settings = new NpgsqlConnectionStringBuilder { Timeout = 5, CommandTimeout = 15, KeepAlive = 15, MaxAutoPrepare = 32, ApplicationName = "marmot-blossom" };
        foreach (var (key, value) in new NpgsqlConnectionStringBuilder(connectionString))
        {
            settings[key] = value;
        }

        _owners = owners;
        _source = NpgsqlDataSource.Create(settings);
    }

    /// <summary>A connection with the schema in place.</summary>
    public async ValueTask<NpgsqlConnection> OpenAsync(CancellationToken cancellationToken)
    {
        try
        {
            if (!_open)
            {
                await MakeReadyAsync(cancellationToken);
            }

            return await _source.OpenConnectionAsync(cancellationToken);
        }
        catch (Exception error) when (PostgresFaults.Translate(error) is { } told)
        {
            throw told;
        }
    }

    /// <summary>A question. Asked again once, because after a restart of the database the pooled connections are all broken.</summary>
    public async ValueTask<T> ReadAsync<T>(Func<NpgsqlConnection, CancellationToken, ValueTask<T>> read, CancellationToken cancellationToken)
    {
        for (var isRetry = false; ; isRetry = true)
        {
            try
            {
                await using var connection = await OpenAsync(cancellationToken);
                return await read(connection, cancellationToken);
            }
            catch (NpgsqlException error) when (!isRetry && error is not PostgresException)
            {
                _source.Clear();
            }
            catch (Exception error) when (PostgresFaults.Translate(error) is { } told)
            {
                throw told;
            }
        }
    }

    /// <summary>A change. Never asked twice and never cancelled: half an answer would leave the caller not knowing.</summary>
    public async ValueTask<T> ChangeAsync<T>(Func<NpgsqlConnection, ValueTask<T>> change)
    {
        try
        {
            await using var connection = await OpenAsync(CancellationToken.None);
            return await change(connection);
        }
        catch (Exception error) when (PostgresFaults.Translate(error) is { } told)
        {
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

    private async Task MakeReadyAsync(CancellationToken cancellationToken)
    {
        await _opening.WaitAsync(cancellationToken);
        try
        {
            if (_open)
            {
                return;
            }

            await using var context = CreateContext();
            await context.Database.MigrateAsync(cancellationToken); // one replica at a time: the history table is locked meanwhile
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
            throw new InvalidOperationException(
                "the blob index in PostgreSQL was made with another owner secret or profile: give every replica the same Blossom:Profile and the same file as Blossom:OwnerSecretFile");
        }
    }
}
