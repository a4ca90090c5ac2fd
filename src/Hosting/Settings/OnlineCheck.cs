using Marmot.Hosting.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marmot.Hosting.Settings;

/// <summary>A server outside the process that settings name, asked by <c>config check --online</c>. Reads only.</summary>
public interface IOnlineCheck
{
    /// <summary>Asks it.</summary>
    /// <returns>One sentence with the setting in front when it cannot be used; null when it can or is not configured.</returns>
    Task<string?> FindMistakeAsync(CancellationToken cancellationToken);
}

/// <summary>Runs every <see cref="IOnlineCheck"/> of a process.</summary>
public static class OnlineCheck
{
    /// <summary>Longest wait for one server.</summary>
    internal static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

    /// <summary>All mistakes, one sentence each.</summary>
    public static async Task<IReadOnlyList<string>> FindMistakesAsync(IServiceProvider services)
    {
        using var limit = new CancellationTokenSource(Timeout);
        var found = await Task.WhenAll(services.GetServices<IOnlineCheck>().Select(check => check.FindMistakeAsync(limit.Token)));
        return [.. found.OfType<string>()];
    }
}

/// <summary>PostgreSQL of <c>Storage:Postgres</c>: it can be reached, the login is right, and it takes writes.</summary>
internal sealed class PostgresOnlineCheck(IOptions<StorageOptions> options) : IOnlineCheck
{
    public async Task<string?> FindMistakeAsync(CancellationToken cancellationToken)
    {
        string connectionString = options.Value.Postgres;
        if (connectionString.Length == 0)
        {
            return null;
        }

        try
        {
            await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString)
            {
                Pooling = false,
                Timeout = (int)OnlineCheck.Timeout.TotalSeconds,
            }.ConnectionString);
            await connection.OpenAsync(cancellationToken);
            await using var question = new NpgsqlCommand("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean", connection);
            return await question.ExecuteScalarAsync(cancellationToken) is true
                ? "Storage:Postgres: the database takes no writes (a standby, or read-only)." : null;
        }
        catch (Exception exception)
        {
            // Of any type: from an answer that is nonsense Npgsql throws whatever its reading stumbles on.
            return "Storage:Postgres: " + (exception is OperationCanceledException ? "no answer" : exception.InnerException?.Message ?? exception.Message);
        }
    }
}

/// <summary>Redis of <c>Cluster:Redis</c>: it can be reached and takes a value.</summary>
internal sealed class ClusterOnlineCheck(IServiceProvider services, IOptions<ClusterOptions> options) : IOnlineCheck
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(10);

    public async Task<string?> FindMistakeAsync(CancellationToken cancellationToken)
    {
        if (options.Value.Redis.Length == 0 || services.GetService<ISharedValues>() is not { } values)
        {
            return null;
        }

        try
        {
            await values.OfferAsync(new Protocol.Encoding.Bytes32(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32)), [1], Lifetime,
                cancellationToken);
            return null;
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            return "Cluster:Redis: " + (exception is OperationCanceledException ? "no answer" : exception.Message);
        }
    }
}
