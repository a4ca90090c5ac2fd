using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Marmot.Relay.Storage.Postgres.Schema;

/// <summary>The relay's tables as EF Core knows them: it carries the migrations in order and remembers which have run. Events never pass through it.</summary>
internal sealed class RelaySchema(DbContextOptions<RelaySchema> options) : DbContext(options)
{
    /// <summary>Everything of the relay stands in a PostgreSQL schema of its own.</summary>
    public const string Name = "relay";

    /// <summary>Where EF Core remembers which migrations have run.</summary>
    public const string HistoryTable = "migrations";

    public static RelaySchema Open(NpgsqlDataSource source) => new(new DbContextOptionsBuilder<RelaySchema>()
        .UseNpgsql(source, npgsql => npgsql.MigrationsHistoryTable(HistoryTable, Name).MigrationsAssembly(typeof(RelaySchema).Assembly.GetName().Name))
        .Options);

    /// <summary>The text of a migration.</summary>
    public static string ReadText(string name)
    {
        using var stream = typeof(RelaySchema).Assembly.GetManifestResourceStream(name) ?? throw new InvalidOperationException("missing resource " + name);
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
