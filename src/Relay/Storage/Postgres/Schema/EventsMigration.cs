using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Marmot.Relay.Storage.Postgres.Schema;

/// <summary>The first schema. Its text is SQL, since most of it (functions, storage settings, index orders) has no other words.</summary>
[DbContext(typeof(RelaySchema))]
[Migration("20261121000000_Events")]
internal sealed class EventsMigration : Migration
{
    protected override void Up(MigrationBuilder migrationBuilder) => migrationBuilder.Sql(RelaySchema.ReadText("0001-events.sql"));

    // Rolling a release back keeps the tables: an older program works on them, and dropping them would lose events.
    protected override void Down(MigrationBuilder migrationBuilder)
    {
    }
}
