using Npgsql;

namespace Marmot.Hosting.Cluster;

/// <summary>After a restart of PostgreSQL every connection that lay in a pool is broken, and only its next user learns it. Here that user asks again on a whole
/// one.</summary>
public static class BrokenConnections
{
    // More than two: of two who empty the pool at the same time one may still be given a connection that the other has not come to.
    private const int Tries = 4;

    /// <summary>Does the work, and again when its connection broke, the server was on its way down or up, or two transactions got in each other's way. Not when
    /// time ran out.</summary>
    /// <param name="source">The pool, which is emptied in between.</param>
    /// <param name="work">Takes a connection of its own; doing it several times must be harmless, since the first time may have been done after all.</param>
    public static async Task<T> RetryAsync<T>(NpgsqlDataSource source, Func<Task<T>> work)
    {
        for (var left = Tries; ; left--)
        {
            try
            {
                return await work();
            }
            catch (NpgsqlException exception) when (left > 1 && MayPass(exception))
            {
                source.Clear();
            }
        }
    }

    private static bool MayPass(NpgsqlException exception) => exception is PostgresException refused
        ? refused.IsTransient || refused.SqlState is PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown
        : exception.InnerException is not TimeoutException;
}
